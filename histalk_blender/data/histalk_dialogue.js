// SPDX-License-Identifier: GPL-3.0-or-later
// A job type for Flamenco 3: dialogue, as recordings or a manifest, in chunks of `histalk batch`. See docs/farm.md.
// ECMAScript 5.1 throughout, `const` apart, so that any version of Flamenco's engine reads it.

const JOB_TYPE = {
    label: "HiSTalk Dialogue",
    description: "Turn recorded speech into facial animation",
    settings: [
        { key: "dialogue", type: "string", subtype: "file_path", required: true, visible: "submission",
          description: "Folder of recordings, or a manifest (.csv or .jsonl), where all workers see it" },
        { key: "output", type: "string", subtype: "dir_path", required: true, visible: "submission",
          description: "Folder of the motion files, the ledgers and the report, where all workers see it" },
        // Inside a lambda eval's names are unknown: what it needs goes in as an argument.
        { key: "clips", type: "int32", required: true, propargs: { min: 0 },
          eval: "(lambda path: sum(file.suffix.lower() in ('.wav', '.flac', '.ogg', '.opus', '.mp3', '.aif', '.aiff') and file.name[0] != '.'"
              + " for file in path.rglob('*')) if path.is_dir() else sum(bool(line.strip(' ,;\\t'))"
              + " for line in path.read_text('utf-8-sig').splitlines()) - (path.suffix.lower() == '.csv')"
              + " if path.is_file() else 0)(abspath(settings.dialogue)) if settings.dialogue else 0",
          evalInfo: { showLinkButton: true, description: "Counted on submission" },
          description: "How many recordings or rows there are" },
        { key: "chunk_size", type: "int32", default: 50, propargs: { min: 1 }, visible: "submission",
          description: "Clips in one task; each task loads the network once" },
        { key: "outputs", type: "string", default: "pc2",
          description: "Some of blend, pc2, mdd, abc, usd, glb, fbx, livelink, npz, mp4, with commas between" },
        { key: "bake", type: "string", default: "automatic",
          choices: ["automatic", "basis", "cache", "keys", "arkit"],
          description: "How motion is stored in a .blend; automatic: arkit for glb and fbx, else basis" },
        { key: "use_blend", type: "bool", default: false,
          description: "Bake on a head of the submitted .blend, at its rate, in place of the bundled head" },
        { key: "object", type: "string", default: "",
          description: "Which object of the submitted .blend; empty: the only head there is" },
        { key: "fps", type: "float", eval: "C.scene.render.fps / C.scene.render.fps_base",
          evalInfo: { showLinkButton: true, description: "The scene's rate" },
          description: "Frames a second of the outputs on the bundled head" },
        { key: "start", type: "int32", default: 1, description: "Frame where speech begins" },
        { key: "device", type: "string", default: "auto",
          description: "auto, cpu, cuda, cuda:N, or several: cuda:0,cuda:1" },
        { key: "blender_cmd", type: "string", default: "{blender}", visible: "submission",
          description: "Blender on the workers: a variable of the Manager, or a path" },

        // What is blend-relative has no meaning on a worker. An empty path would become the working folder.
        { key: "dialogue_path", type: "string", visible: "web",
          eval: "str(abspath(settings.dialogue)) if settings.dialogue else ''",
          description: "The recordings, absolute" },
        { key: "output_path", type: "string", visible: "web",
          eval: "str(abspath(settings.output)) if settings.output else ''",
          description: "The output folder, absolute" },
        { key: "blendfile", type: "string", visible: "web", description: "The submitted .blend" }
    ]
};

const OUTPUTS = ["blend", "pc2", "mdd", "abc", "usd", "glb", "fbx", "livelink", "npz", "mp4"];
const BAKES = ["automatic", "basis", "cache", "keys", "arkit"];

function compileJob(job) {
    const settings = job.settings;
    const dialogue = absolute(settings.dialogue_path || settings.dialogue, "Dialogue", "the recordings or a manifest");
    const output = absolute(settings.output_path || settings.output, "Output", "the folder of the motion files");
    const clips = whole(settings.clips, 1, 1000000, "Clips");
    const size = whole(settings.chunk_size, 1, 1000000, "Chunk Size");
    const command = ["--background", "--command", "histalk", "batch", dialogue, "--out", output];
    const options = batchOptions(settings);
    const report = author.Task("report", "blender");

    for (var first = 1; first <= clips; first += size) {
        var rows = first + "-" + Math.min(first + size - 1, clips);
        var task = author.Task("rows " + rows, "blender");
        // A ledger of its own, as two runs on one are refused. Failures are retried: the first worker may be at fault.
        var own = ["--rows", rows, "--ledger", output + "/ledgers/" + rows + ".sqlite", "--retry-failed"];
        task.addCommand(blender(settings, command.concat(own, options)));
        report.addDependency(task);
        job.addTask(task);
    }
    report.addCommand(blender(settings, command.concat(["--merge"])));
    job.addTask(report);
}

function blender(settings, args) {
    const exe = text(settings.blender_cmd);
    if (!exe) {
        throw "Blender Cmd is empty: write {blender}, or the path of Blender on the workers.";
    }
    // Not `blender-render`, which opens the submitted .blend even where nothing in it is wanted.
    return author.Command("exec", { exe: exe, args: args });
}

function batchOptions(settings) {
    const outputs = text(settings.outputs).split(/[\s,;+]+/).filter(Boolean);
    const unknown = outputs.filter(function (kind) { return OUTPUTS.indexOf(kind) < 0; });
    if (!outputs.length || unknown.length) {
        throw "Outputs are '" + text(settings.outputs) + "': write some of " + OUTPUTS.join(", ") + ".";
    }
    const bake = text(settings.bake) || "automatic";
    if (BAKES.indexOf(bake) < 0) {
        throw "Bake is '" + bake + "': choose one of " + BAKES.join(", ") + ".";
    }
    const morphs = outputs.indexOf("glb") >= 0 ? "glb" : outputs.indexOf("fbx") >= 0 ? "fbx" : "";
    if (morphs && bake !== "automatic" && bake !== "arkit") {
        const format = morphs === "glb" ? "glTF" : "FBX";
        throw format + " plays ARKit curves: with " + morphs + " among Outputs choose automatic or arkit for Bake.";
    }
    const device = text(settings.device) || "auto";
    if (!/^(auto|cpu|cuda(:\d+)?)(,(auto|cpu|cuda(:\d+)?))*$/.test(device)) {
        throw "Device is '" + device + "': write auto, cpu, cuda or cuda:N.";
    }
    const start = whole(settings.start, -1000000, 1000000, "Start");
    return ["--outputs", outputs.join(","), "--start", String(start), "--device", device]
        .concat(bake === "automatic" ? [] : ["--bake", bake])
        .concat(settings.use_blend ? shot(settings) : ["--fps", String(rate(settings.fps))]);
}

function shot(settings) {
    if (!text(settings.blendfile)) {
        throw "Use Blend needs a .blend: submit from Blender, with the file saved.";
    }
    return ["--shot", settings.blendfile].concat(text(settings.object) ? ["--object", settings.object] : []);
}

function rate(fps) {
    if (typeof fps !== "number" || !(fps >= 1 && fps <= 240)) {
        throw "Fps is '" + text(fps) + "': write a number from 1 to 240.";
    }
    return fps;
}

function whole(value, low, high, name) {
    if (typeof value !== "number" || Math.floor(value) !== value || value < low || value > high) {
        throw name + " is '" + text(value) + "': write a whole number from " + low + " to " + high + ".";
    }
    return value;
}

function absolute(value, name, what) {
    const path = text(value);
    if (!path) {
        throw name + " is empty: name " + what + ".";
    }
    if (path.slice(0, 2) === "//") {
        throw name + " is '" + path + "', which only Blender can follow: give the whole path.";
    }
    return path;
}

function text(value) {
    return value === undefined || value === null ? "" : String(value).trim();
}
