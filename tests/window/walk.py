"""Run inside a real Blender under a virtual screen: an animator's walk, a picture at each stop.

blender --factory-startup ... --python walk.py -- PROJECT OUT
"""

import importlib
import subprocess
import sys
import time
import traceback
from pathlib import Path

import bpy

PROJECT, OUT = (Path(word) for word in sys.argv[sys.argv.index("--") + 1 :])
MODULE = "bl_ext.user_default.histalk_blender"


def picture(name, crop=""):
    """The whole screen, and for the README a part of it (WxH+X+Y)."""
    subprocess.run(f"xwd -root -silent | convert xwd:- {OUT / name}.png", shell=True, check=True)
    if crop:
        options = f"-crop {crop} +repage -resize 75% -dither None -colors 200"
        subprocess.run(f"convert {OUT / name}.png {options} PNG8:{OUT / name}-detail.png", shell=True, check=True)


def enable():
    import addon_utils

    addon_utils.enable(MODULE, default_set=True)


def stored_performance(package):
    """This Blender has no PyTorch: the stored prediction for the sentence stands in for the network."""
    import numpy as np
    from safetensors import safe_open

    synthesis, motion = (importlib.import_module(f"{package}.{name}") for name in ("synthesis", "motion.motion"))
    with safe_open(synthesis.WEIGHTS, "np") as file:
        outputs = {name: file.get_tensor(f"outputs.{name}.basis").astype("f4") for name in ("histalk", "flame")}
    spoken = motion.Motion(np.load(PROJECT / "tests/data/speech_motion.npy"), outputs["histalk"], 30.0)
    return synthesis.Performance(spoken, outputs, *[None] * 3, "histalk")


def show_sidebar(area):
    area.spaces.active.show_region_ui = True


def choose_tab(area):
    region = next(region for region in area.regions if region.type == "UI")
    for _ in range(2):  # a region takes the tab only after its first drawing
        region.active_panel_category = "HiSTalk"
        region.tag_redraw()
        yield 0.6


bpy.context.preferences.view.show_splash = False
bpy.context.preferences.view.ui_scale = 1.1


def steps():
    """Each `yield` gives Blender that many seconds to draw."""
    preferences = bpy.context.preferences
    window = bpy.context.window_manager.windows[0]
    view = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in view.regions if region.type == "WINDOW")
    strips = next(area for area in window.screen.areas if area.type == "DOPESHEET_EDITOR")
    strips.type = "SEQUENCE_EDITOR"
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    enable()
    view.spaces.active.shading.color_type = "MATERIAL"
    view.spaces.active.overlay.show_floor = False
    show_sidebar(view)
    yield 0.5
    shown_objects = sys.modules[f"{MODULE}.histalk_blender.addon.ui"].shown_objects
    assert shown_objects(bpy.context) == [], "another tab is open"
    yield from choose_tab(view)
    assert shown_objects(bpy.context) == [None], "the tab shows that nothing is selected"
    picture("nothing-selected", "640x240+680+30")

    with bpy.context.temp_override(window=window, area=view, region=region):
        bpy.ops.histalk.add_head()
        head = bpy.context.view_layer.objects.active
        scene = bpy.context.scene
        scene.render.fps = 30
        bpy.context.workspace.sequencer_scene = scene
        scene.sequence_editor_create().strips.new_sound("Line 12", str(PROJECT / "tests/data/speech.flac"), 1, 1)
        scene.frame_end = 200
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_orbit(angle=0.35, type="ORBITLEFT")
        bpy.ops.view3d.view_selected()
        view.spaces.active.region_3d.view_perspective = "PERSP"
        view.spaces.active.region_3d.view_location.x += 0.05
        view.spaces.active.region_3d.view_distance *= 0.95
    yield 1.0
    yield from choose_tab(view)
    head.histalk.kind = "cache"
    head.histalk.cache_folder = str(OUT)
    yield 0.5
    picture("no-pytorch")

    package = f"{MODULE}.histalk_blender"
    session = sys.modules[f"{package}.addon.session"].get_session()
    environment = session.environment
    preloaded = []
    sys.modules[f"{package}.addon.preload"].preload_model = lambda *choice: preloaded.append(choice)
    environment.blocking_reason, environment.activate = lambda context: "", lambda context: None
    performance = stored_performance(package)

    def perform_clip(samples, weights, device, progress):
        for i in range(120):
            progress(i / 120)
            time.sleep(0.05)
        return performance

    sys.modules[f"{package}.addon.bake_job"].perform_clip = perform_clip
    view.tag_redraw()
    yield 1.2
    assert preloaded == [(None, "auto")], "the open tab preloads the selected head's choice, once"
    assert session.gpu.names == [], "and asks for the GPU"
    picture("ready")

    with bpy.context.temp_override(window=window, area=view, region=region):
        bpy.ops.histalk.bake("INVOKE_DEFAULT")
    while session.job.share < 0.4:
        yield 0.1
    yield 0.6
    picture("listening", "1320x960+0+30")
    bpy.ops.histalk.cancel_bake()
    yield 0.5
    assert session.job is None and not head.modifiers, "cancelled in half a second"
    with bpy.context.temp_override(window=window, area=view, region=region):
        bpy.ops.histalk.bake("INVOKE_DEFAULT")
    while session.job is not None:
        yield 0.2
    assert head.modifiers[0].name == "HiSTalk", "the modal operator baked"
    bpy.context.scene.frame_set(61)
    yield 0.5
    yield from choose_tab(view)
    picture("baked", "1320x960+0+30")
    report = head.histalk.report
    head.histalk.jaw = 1.6
    for _ in range(50):  # the bake begins a quarter of a second after the slider's last move
        yield 0.2
        if head.histalk.report != report and session.job is None:
            break
    else:
        raise AssertionError(f"the slider was not followed: {session.job and session.job.state}")
    picture("restyled")
    head.histalk.kind = "basis"
    with bpy.context.temp_override(window=window, area=view, region=region):
        bpy.ops.histalk.bake("INVOKE_DEFAULT")
    yield 0.5
    while session.job is not None:
        yield 0.2
    animation = head.data.shape_keys.animation_data
    curve = animation.action.layers[0].strips[0].channelbag(animation.action_slot).fcurves[0]
    by_hand = curve.keyframe_points[20].co[1] + 0.5
    curve.keyframe_points[20].co[1] = by_hand
    curve.update()
    head.histalk.jaw = 1.2
    yield 2.5
    yield from choose_tab(view)
    picture("slider-stops")
    with bpy.context.temp_override(window=window, area=view, region=region):
        bpy.ops.histalk.bake("INVOKE_DEFAULT")
    yield 1.5
    picture("asked")
    subprocess.run(["xdotool", "key", "Escape"], check=True)
    yield 0.5
    assert session.job is None and abs(curve.keyframe_points[20].co[1] - by_hand) < 1e-6, "the hand's key stays"
    with bpy.context.temp_override(window=window, area=view, region=region):
        bpy.ops.histalk.bake("INVOKE_DEFAULT", discard_edits=True)
    while session.job is not None:
        yield 0.2
    assert not head.histalk.warnings, "the manual edit is discarded"
    show_sidebar(strips)
    with bpy.context.temp_override(window=window, area=strips):
        strips.spaces.active.view_type = "SEQUENCER"
    view.type = "SEQUENCE_EDITOR"
    view.spaces.active.show_region_ui = True
    yield 0.5
    yield from choose_tab(view)
    picture("sequencer", "1075x950+245+45")
    del environment.blocking_reason, environment.activate
    view.type = "PREFERENCES"
    preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "HiSTalk"
    import addon_utils

    for module in addon_utils.modules(refresh=False):
        if module.__name__ == MODULE:
            addon_utils.module_bl_info(module)["show_expanded"] = True
    yield 1.0
    picture("preferences", "1120x580+195+65")


walk = steps()


def tick():
    try:
        return next(walk)
    except StopIteration:
        print("walked to the end", flush=True)
    except BaseException:
        traceback.print_exc()
    bpy.ops.wm.quit_blender()
    return None


bpy.app.timers.register(tick, first_interval=1.0)
