// The recorder: asks for signs, shows what is kept and why other frames are not.

import { Speaker, Stage, WAITING, button, field, listCameras, make, watchCameras } from "./camera.js";

function render({ model, el }) {
  const root = make("div", { className: "asl", "data-state": "waiting", "data-lm-suppress-shortcuts": "true" });
  const status = new Speaker(WAITING);
  const prompt = make("p", { className: "asl-prompt" });
  const sign = make("span", { className: "asl-letter", textContent: "–" });
  const count = make("div", { className: "asl-count", "aria-hidden": "true" });
  const hint = make("p");
  const bar = make("progress", { className: "asl-progress", value: 0, max: 1, "aria-label": "Kept of this sign" });
  const list = make("ol", { className: "asl-signs", "aria-label": "Signs and how many frames of each are kept" });
  const passed = make("p", { className: "asl-numbers" });
  const where = make("p", { className: "asl-numbers" });

  const stage = new Stage(model, {
    remote: model.get("remote"),
    hint: "Press Start; three seconds are counted down before each sign.",
    label: "Camera picture of the recorder",
    onReading: show,
    onStatus: (what, bad) => status.say(what, bad),
    onState(state) {
      root.dataset.state = state;
      start.disabled = state !== "off";
      stop.disabled = state === "off";
      for (const other of [again, skip]) other.disabled = state !== "running";
      if (state !== "running") count.textContent = "";
      if (state !== "starting" && !stage.remote) listCameras(camera, stage.running ? stage.deviceId : undefined);
    },
  });
  stage.element.append(count);

  const camera = make("select", { onchange: () => stage.running && stage.start(camera.value) });
  const start = button("Start", "Switch the camera on and record", async () => {
    await stage.start(camera.value);
    if (stage.running) stage.focus();
  });
  const stop = button("Stop", "Switch the camera off; what is kept stays", () => {
    stage.stop("Stopped; the camera is off.");
    start.focus({ preventScroll: true });
  });
  const again = button("Again", "Throw this sign's frames away and record it anew", () => edit("again"));
  const skip = button("Skip", "Go on to the next sign", () => edit("skip"));
  start.classList.add("asl-first");
  for (const other of [start, stop, again, skip]) other.disabled = true;
  const edit = (what) => stage.send({ type: "edit", what });

  root.append(
    make("div", { className: "asl-left" }, stage.element, make("div", { className: "asl-row" }, start, stop, again, skip)),
    make(
      "div",
      { className: "asl-right" },
      make("div", { className: "asl-row asl-reading" }, sign, make("div", { className: "asl-ask" }, prompt, hint)),
      bar,
      status.seen,
      status.spoken,
      list,
      passed,
      ...(stage.remote ? [] : [field("Camera", camera)]),
      where,
    ),
  );
  el.append(root);
  const unwatch = watchCameras(camera, stage);

  function show(message) {
    if (!message.signs) return;
    const complete = message.signs.every(([, kept]) => kept >= message.of);
    sign.textContent = message.sign ?? (complete ? "✓" : "–");
    sign.classList.toggle("asl-long", (message.sign ?? "").length > 1);
    const over = complete ? "All signs are recorded." : "Some signs are not complete.";
    prompt.textContent = message.sign ? `Show ${message.sign}` : over;
    bar.max = message.of;
    bar.value = message.sign ? message.kept : message.of;
    where.textContent = `What is kept is written to ${message.folder}; all else is forgotten.`;
    list.replaceChildren(
      ...message.signs.map(([name, kept]) =>
        make("li", {
          textContent: `${name} ${kept}/${message.of}`,
          className: kept >= message.of ? "asl-full" : "",
          ...(name === message.sign ? { "aria-current": "step" } : {}),
        }),
      ),
    );
    passed.textContent = message.passed.length
      ? `Not kept: ${message.passed.map(([reason, n]) => `${n} × ${reason.replace(/[.:].*$/, "").toLowerCase()}`).join(", ")}`
      : "";
    if (message.type !== "reading") return;
    count.textContent = message.left > 0 && message.sign ? String(Math.ceil(message.left)) : "";
    hint.textContent = message.hint;
    if (!message.sign) stage.stop(message.status);
  }

  return () => {
    unwatch();
    status.dispose();
    stage.dispose();
  };
}

export default { render };
