// The live cell: camera picture, letter being read, text.

import { Speaker, Stage, WAITING, button, field, fill, listCameras, make, watchCameras } from "./camera.js";

function render({ model, el }) {
  const root = make("div", { className: "asl", "data-state": "waiting", "data-lm-suppress-shortcuts": "true" });
  const status = new Speaker(WAITING);
  const letter = make("span", { className: "asl-letter", textContent: "–" });
  const share = make("span", { className: "asl-share" });
  const bar = make("span", { className: "asl-bar" });
  const mark = make("span", { className: "asl-mark" });
  const meter = make("div", { className: "asl-meter", "aria-hidden": "true" }, bar, mark);
  const now = make("div", { className: "asl-now", "aria-hidden": "true" }, letter, make("div", {}, share, meter));
  const text = make("div", {
    className: "asl-text",
    role: "log",
    "aria-live": "polite",
    "aria-label": "Text that was read",
    tabIndex: 0,
  });
  const numbers = make("p", { className: "asl-numbers", textContent: "Frames stay in memory; nothing is stored." });

  const stage = new Stage(model, {
    remote: model.get("remote"),
    hint: "Press Start and show a letter.",
    label: "Camera picture. Keys: Space adds a space, Backspace deletes a letter, Escape clears the text, 1 to 3 take a word.",
    onReading: show,
    onStatus: (what, bad) => status.say(what, bad),
    onState(state) {
      root.dataset.state = state;
      controls.disabled = false;
      start.disabled = state !== "off";
      stop.disabled = state === "off";
      if (state === "off") showLetter(null);
      if (state !== "starting" && !stage.remote) listCameras(camera, stage.running ? stage.deviceId : undefined);
    },
  });

  const camera = make("select", { onchange: () => stage.running && stage.start(camera.value) });
  const recogniser = make("select", { onchange: () => stage.send({ type: "settings", model: recogniser.value }) });
  const confidence = slider("confidence", 0.3, 0.99, 0.01, (value) => `${Math.round(100 * value)} %`);
  const hold = slider("hold_s", 0.05, 1, 0.01, (value) => `${value.toFixed(2)} s`);

  const start = button("Start", "Switch the camera on", async () => {
    await stage.start(camera.value);
    if (stage.running) stage.focus();
  });
  const stop = button("Stop", "Switch the camera off", () => {
    stage.stop("Stopped; the camera is off.");
    start.focus({ preventScroll: true });
  });
  const flip = button("Flip", "Show the picture as in a mirror, or as others see you", () => {
    flip.setAttribute("aria-pressed", String(!stage.flip()));
  });
  start.classList.add("asl-first");
  start.disabled = stop.disabled = true;
  flip.setAttribute("aria-pressed", "false");
  const edit = (what, word) => stage.send({ type: "edit", what, word });
  const words = [1, 2, 3].map((key) => {
    const word = button("", `Put this word in the text (key: ${key})`, () => edit("choose", word.textContent));
    word.classList.add("asl-word");
    word.hidden = true;
    return word;
  });
  const edits = [
    button("Space", "Add a space (key: Space)", () => edit("space")),
    button("Delete", "Delete the last letter (key: Backspace)", () => edit("delete")),
    button("Clear", "Clear the text (key: Escape)", () => edit("clear")),
    button("Copy", "Copy the text", copy),
    button("Speak", "Let the browser speak the text", speak),
  ];
  const controls = make(
    "fieldset",
    { className: "asl-controls", disabled: true },
    make("div", { className: "asl-row asl-words", role: "group", "aria-label": "Words" }, ...words),
    make("div", { className: "asl-row" }, ...edits),
    make(
      "div",
      { className: "asl-fields" },
      ...(stage.remote ? [] : [field("Camera", camera)]),
      field("Model", recogniser),
      confidence.element,
      hold.element,
    ),
  );
  const chart = make("img", { src: ALPHABET, alt: "Each letter by a right and a left hand, with arrows for J and Z" });

  root.append(
    make(
      "div",
      { className: "asl-top" },
      make("h2", { textContent: "Fingerspelling to text" }),
      make("p", { textContent: "Hold the palm to the camera and show letters with one hand; lower it for a space." }),
      make("details", {}, make("summary", { textContent: "The alphabet" }), chart),
    ),
    make("div", { className: "asl-left" }, stage.element, make("div", { className: "asl-row" }, start, stop, flip)),
    make(
      "div",
      { className: "asl-right" },
      make("div", { className: "asl-row asl-reading" }, now, status.seen),
      status.spoken,
      text,
      controls,
      numbers,
    ),
  );
  el.append(root);
  const unwatch = watchCameras(camera, stage);

  root.addEventListener("keydown", (event) => {
    if (event.target.closest("select, input")) return event.stopPropagation(); // else the notebook takes the arrows
    const key = { " ": "space", Backspace: "delete", Escape: "clear" }[event.key];
    const word = words["123".indexOf(event.key)];
    if (word && !word.disabled && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      event.stopPropagation();
      return word.click();
    }
    if (!key || event.ctrlKey || event.metaKey || event.altKey) return;
    if (key === "space" && event.target.closest("button, summary")) return; // there it presses the button
    event.preventDefault();
    event.stopPropagation();
    edit(key);
  });

  function slider(name, min, max, step, format) {
    const value = make("output", {});
    const input = make("input", { type: "range", min, max, step });
    const set = (to) => {
      input.value = to;
      value.textContent = format(Number(input.value));
      if (name === "confidence") mark.style.left = `${100 * input.value}%`;
    };
    input.addEventListener("input", () => set(input.value));
    input.addEventListener("change", () => stage.send({ type: "settings", [name]: Number(input.value) }));
    const element = field(name === "confidence" ? "Confidence" : "Hold time", input);
    element.append(value);
    return { element, set, input };
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(text.textContent.trim());
      status.say("The text is copied.");
    } catch {
      status.say("The browser does not let this page copy: select the text.", true);
    }
  }

  function speak() {
    speechSynthesis.cancel();
    const speech = new SpeechSynthesisUtterance(text.textContent.toLowerCase()); // capitals would be spelled
    speech.lang = "en-US";
    speechSynthesis.speak(speech);
  }

  function showLetter(name, probability = 0) {
    letter.textContent = name ?? "–";
    letter.classList.toggle("asl-long", (name ?? "").length > 1);
    share.textContent = name ? `${Math.round(100 * probability)} %` : "";
    bar.style.width = `${100 * probability}%`;
    meter.classList.toggle("asl-sure", probability >= Number(confidence.input.value));
  }

  function show(message) {
    if (message.text !== undefined && message.text !== text.textContent) {
      text.textContent = message.text;
      text.scrollTop = text.scrollHeight;
    }
    for (const [place, word] of message.words ? words.entries() : []) {
      word.textContent = message.words[place] ?? "";
      if (!word.textContent && word === document.activeElement) stage.focus();
      word.disabled = word.hidden = !word.textContent;
    }
    if (message.settings) {
      fill(recogniser, message.models, message.settings.model);
      confidence.set(message.settings.confidence);
      hold.set(message.settings.hold_s);
    }
    if (message.type !== "reading") return;
    showLetter(message.letter, message.confidence);
    const { rate, delay } = stage.meter;
    const { lost } = stage.throttle;
    numbers.textContent =
      `${rate.toFixed(0)} frames a second · delay ${delay.toFixed(0)} ms ` +
      `(${message.ms.toFixed(0)} ms of it reading) · ${lost} lost`;
  }

  return () => {
    unwatch();
    status.dispose();
    stage.dispose();
  };
}

export default { render };
