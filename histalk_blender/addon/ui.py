"""What all operators and panels share: a reason where one is greyed out, and a redraw."""

from __future__ import annotations

import traceback

import bpy

from ..errors import HiSTalkError, sentence_of

SHOWN_IN = {"VIEW_3D", "SEQUENCE_EDITOR", "PREFERENCES"}


class Explained:
    """Mix into an operator: one reason greys it out and stands in its tooltip."""

    @classmethod
    def disabled_reason(cls, context) -> str:
        """A sentence with the cause and the next click, or "" where the operator can run."""
        return ""

    @classmethod
    def poll(cls, context) -> bool:
        """Blender's question, answered by `disabled_reason`."""
        reason = cls.disabled_reason(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def tell(self, error: Exception) -> set[str]:
        """Show whatever was raised as one sentence, and end the operator."""
        if not isinstance(error, HiSTalkError):
            traceback.print_exception(error)
        self.report({"ERROR"}, sentence_of(error))
        return {"CANCELLED"}


def redraw() -> None:
    """Show what changed, wherever we are seen."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in SHOWN_IN:
                area.tag_redraw()
