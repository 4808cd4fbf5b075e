"""What operators, panels and preferences share: disabled buttons with a reason, wrapped text, redraws and timers."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import blf
import bpy

from ..errors import HiSTalkError, error_sentence

CATEGORY = "HiSTalk"  # the sidebar's tab
SIDEBARS = frozenset({"VIEW_3D", "SEQUENCE_EDITOR"})
SHOWN_IN = SIDEBARS | {"PREFERENCES"}
FONT = 0  # of the interface, in blf
MARGINS = 100  # pixels at scale 1 that tabs, a box, an icon and its gaps take of a region's width


class DisabledReasonMixin:
    """For operators: one sentence disables the button and is shown in its tooltip."""

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

    def report_error(self, error: Exception) -> set[str]:
        """Show any exception as one sentence, and end the operator."""
        if not isinstance(error, HiSTalkError):
            traceback.print_exception(error)
        self.report({"ERROR"}, error_sentence(error))
        return {"CANCELLED"}


class Timer:
    """A function that Blender calls in its main loop, again after as many seconds as it returns, until it returns None.

    Args:
        step: the function.
        persistent: it keeps running when another .blend is opened.
    """

    def __init__(self, step: Callable[[], float | None], persistent: bool = False):
        self._step = step  # one object: Blender identifies timers by it, and each access to a method makes another
        self._persistent = persistent

    @property
    def running(self) -> bool:
        """Whether it will be called."""
        return bpy.app.timers.is_registered(self._step)

    def start(self, seconds: float) -> None:
        """First call it after so many seconds; a start before that counts no more."""
        self.stop()
        bpy.app.timers.register(self._step, first_interval=seconds, persistent=self._persistent)

    def stop(self) -> None:
        """Call it no more."""
        if self.running:
            bpy.app.timers.unregister(self._step)


def redraw() -> None:
    """Draw anew all areas that may show HiSTalk."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in SHOWN_IN:
                area.tag_redraw()


def shown_objects(context) -> list:
    """The active object, or None, of each window in which a sidebar shows HiSTalk's tab."""
    windows = context.window_manager.windows
    return [window.view_layer.objects.active for window in windows if any(map(_shows_tab, window.screen.areas))]


def _shows_tab(area) -> bool:
    if area.type not in SIDEBARS or not area.spaces.active.show_region_ui:
        return False
    return any(region.type == "UI" and region.active_panel_category == CATEGORY for region in area.regions)


def draw_sentence(layout, context, text: str, icon: str = "NONE") -> None:
    """A label of as many lines as the region's width needs: Blender cuts off what is too long."""
    preferences = context.preferences
    scale = preferences.system.ui_scale
    blf.size(FONT, preferences.ui_styles[0].widget.points * scale)
    column = layout.column(align=True)
    for i, line in enumerate(_wrapped(text, context.region.width - MARGINS * scale)):
        column.label(text=line, icon="BLANK1" if i and icon != "NONE" else icon)


def _wrapped(text: str, width: float) -> list[str]:
    """Lines of whole words, each of at most so many pixels where a word is not wider."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and blf.dimensions(FONT, longer)[0] > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
