"""What all operators and panels share: a reason where one is greyed out, and a redraw."""

from __future__ import annotations

import bpy

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


def redraw() -> None:
    """Show what changed, wherever we are seen."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in SHOWN_IN:
                area.tag_redraw()
