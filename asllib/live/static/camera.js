// The camera, its picture, and the frames on their way to the kernel: what both widgets share.

export const WIDTH = 320; // pixels of the frames that are sent
export const LIMIT = 2; // frames on their way: the second travels while the first is read
export const EXPIRE = 2000; // ms after which a frame that was not answered is given up
export const SILENCE = 6000; // ms without any answer after which the camera is switched off
export const LOADING = 30000; // ms that Start waits for the kernel, which loads its networks at first

const HOLD = 500; // ms without frames after one that went wrong: no storm of retries
const TOLD = 3000; // ms that the words of an error stay: time to read them
const STALE = 250; // ms after which the browser no longer tells of pictures, as in a hidden tab

const OFF = "The camera is off";
const AGAIN = 3000; // ms after which a kernel that has not answered is greeted again
export const WAITING = "Waiting for the kernel.";
const SILENT = "The kernel does not answer: if it is gone, run this cell again.";

/** Lets at most `limit` frames be on their way; one that is not answered within `expire` ms is given up. */
export class Throttle {
  constructor(limit = LIMIT, expire = EXPIRE) {
    this.limit = limit;
    this.expire = expire;
    this.reset(0);
  }

  reset(now) {
    this.pending = new Map(); // id -> when it was sent
    this.lost = 0;
    this.heard = now; // when the last answer came
  }

  ready(now) {
    for (const [id, sent] of this.pending) {
      if (now - sent < this.expire) continue;
      this.pending.delete(id);
      this.lost += 1;
    }
    return this.pending.size < this.limit;
  }

  sent(id, now) {
    this.pending.set(id, now);
  }

  /** The frame's round trip in ms; null for one that was given up or answered before. */
  answered(id, now) {
    this.heard = now;
    const sent = this.pending.get(id);
    this.pending.delete(id);
    return sent === undefined ? null : now - sent;
  }

  silent(now) {
    return now - this.heard > SILENCE;
  }
}

/** Answers a second and their median delay, over the last two seconds. */
export class Meter {
  constructor() {
    this.seen = [];
  }

  add(now, delay) {
    this.seen.push([now, delay]);
    while (this.seen.length > 1 && now - this.seen[0][0] > 2000) this.seen.shift();
  }

  get rate() {
    const n = this.seen.length - 1;
    return n < 1 ? 0 : (1000 * n) / (this.seen[n][0] - this.seen[0][0] || 1);
  }

  get delay() {
    const delays = this.seen.map(([, delay]) => delay).sort((a, b) => a - b);
    return delays.length ? delays[delays.length >> 1] : 0;
  }
}

/** What went wrong with a camera, and what to do, by the name of the browser's error. */
export function cameraProblem(error) {
  const known = {
    NotFoundError: "No camera found: plug one in and press Start.",
    NotAllowedError: "Camera refused: allow it in the browser's address bar and press Start.",
    NotReadableError: "The camera is in use by another program: close it there and press Start.",
    OverconstrainedError: "That camera is gone: choose another one and press Start.",
    InsecureContext: "The browser gives its camera to https pages and to localhost only: tunnel the server to localhost.",
  };
  return known[error.name] ?? `The camera does not start (${error.name}): ${error.message}`;
}

/** Element with properties, ARIA and data attributes, and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

const prefix = Math.random().toString(36).slice(2); // each cell has a module of its own: ids are unique in the page
let count = 0; // of labelled controls

/** A control with its label. */
export function field(label, control) {
  control.id = `asl-${prefix}-${++count}`;
  return make("div", { className: "asl-field" }, make("label", { for: control.id, textContent: label }), control);
}

export function button(text, title, onclick) {
  return make("button", { type: "button", className: "asl-button", textContent: text, title, onclick });
}

/** A line of words, seen at once and spoken only when it has lasted: a screen reader is not flooded. */
export class Speaker {
  constructor(text) {
    this.seen = make("p", { className: "asl-status", textContent: text });
    this.spoken = make("p", { className: "asl-spoken", role: "status", "aria-live": "polite" });
  }

  say(text, bad = false) {
    if (this.seen.textContent !== text) {
      this.seen.textContent = text;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => (this.spoken.textContent = text), 1200);
    }
    this.seen.classList.toggle("asl-bad", bad);
  }

  dispose() {
    clearTimeout(this.timer);
  }
}

// Bones by their landmarks, coloured by finger after Okabe and Ito: told apart with any common colour vision.
const FINGERS = [
  ["#e69f00", [0, 1, 2, 3, 4]],
  ["#56b4e9", [0, 5, 6, 7, 8]],
  ["#009e73", [0, 9, 10, 11, 12]],
  ["#f0e442", [0, 13, 14, 15, 16]],
  ["#cc79a7", [0, 17, 18, 19, 20]],
  ["#ffffff", [5, 9, 13, 17]],
];

export function drawHand(canvas, points) {
  const pen = canvas.getContext("2d");
  const { width, height } = canvas;
  pen.clearRect(0, 0, width, height);
  if (!points) return;
  const size = Math.max(2, Math.min(width, height) / 90);
  pen.lineCap = pen.lineJoin = "round";
  for (const outline of [true, false]) {
    for (const [color, joints] of FINGERS) {
      pen.beginPath();
      for (const joint of joints) pen.lineTo(points[joint][0] * width, points[joint][1] * height);
      pen.strokeStyle = outline ? "#000" : color;
      pen.lineWidth = outline ? size * 2 : size;
      pen.stroke();
    }
  }
}

/**
 * The picture with its camera: frames go to the kernel, answers come back to `onReading`.
 *
 * The camera is the browser's; with `remote` it is one of the kernel's machine, or a film there: then frames are asked
 * for, and come with the answers.
 */
export class Stage {
  constructor(model, { remote, label, hint, onReading, onStatus, onState }) {
    Object.assign(this, { model, remote, onReading, onStatus, onState });
    this.view = Math.random().toString(36).slice(2); // answers go to all views of a widget: each takes its own
    this.throttle = new Throttle();
    this.meter = new Meter();
    this.run = 0; // counts starts: what belongs to an earlier one is dropped
    this.frame = this.greetings = 0;
    this.readings = 0;
    this.running = false;
    this.video = make("video", { muted: true, playsInline: true, className: "asl-picture" });
    // Browsers stop a video that is taken out of the page, as when the notebook moves the cell.
    this.video.addEventListener("pause", () => this.play());
    this.film = make("canvas", { className: "asl-picture" });
    this.overlay = make("canvas", { className: "asl-overlay", width: 640, height: 480 });
    this.off = make("div", { className: "asl-off", textContent: OFF });
    this.element = make(
      "div",
      { className: "asl-stage asl-mirrored", tabIndex: 0, role: "group", "aria-label": label },
      remote ? this.film : this.video,
      this.overlay,
      this.off,
    );
    this.small = document.createElement("canvas");
    this.hear = (message, buffers) => this.receive(message, buffers);
    model.on("msg:custom", this.hear);
    this.greet(hint);
  }

  /** Let the page be used once the kernel has answered, or say that it does not. */
  async greet(hint) {
    let late = true;
    // A kernel that is busy with a cell answers the first greeting after that cell, and a later one at once.
    for (let waited = 0; late && waited < LOADING && !this.run; waited += AGAIN) {
      this.hello();
      late = await this.answered(AGAIN);
    }
    if (this.run) return; // started or ended meanwhile
    if (late || !this.toldUntil) this.onStatus(late ? SILENT : hint);
    this.onState("off");
  }

  /** Wait so many ms for the answer to the last `hello`; true if none comes. */
  async answered(most = LOADING) {
    let timer;
    const late = new Promise((done) => (timer = setTimeout(done, most, true)));
    const answer = await Promise.race([this.ready, late]);
    clearTimeout(timer);
    return answer === true;
  }

  /** Ask for the state; `ready` is done when that was answered: then the kernel has loaded all that it reads with. */
  hello() {
    const id = `hello ${++this.greetings}`;
    this.ready = new Promise((done) => (this.greeted = { id, done }));
    this.send({ type: "hello", id });
  }

  send(message, buffers = []) {
    try {
      this.model.send({ ...message, view: this.view }, undefined, buffers);
    } catch (error) {
      // The kernel is gone or starting anew: the message has nowhere to go.
      if (this.running) this.stop("The kernel is gone: run this cell again.");
    }
  }

  async start(deviceId) {
    await this.stop();
    const run = ++this.run;
    this.onStatus("Getting ready.");
    this.onState("starting");
    // First the kernel, then the camera: no letter is shown to a camera that is on while nobody reads.
    this.hello();
    const late = await this.answered();
    if (run !== this.run) return; // stopped while it waited
    if (late) return this.stop(SILENT);
    this.onStatus(this.remote ? "Opening the camera or film." : "Waiting for the camera: allow it if the browser asks.");
    if (!this.remote) {
      try {
        if (!navigator.mediaDevices) throw { name: "InsecureContext", message: "" };
        const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
        if (deviceId) wanted.deviceId = { exact: deviceId };
        const stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
        if (run !== this.run) return stream.getTracks().forEach((track) => track.stop()); // stopped while it asked
        this.stream = stream;
        for (const track of stream.getVideoTracks()) {
          track.addEventListener("ended", () => {
            if (run === this.run) this.stop("The camera is gone: plug it in and press Start.");
          });
        }
        this.video.srcObject = stream;
        await this.video.play();
        this.deviceId = stream.getVideoTracks()[0].getSettings().deviceId;
      } catch (error) {
        if (run === this.run) this.stop(cameraProblem(error));
        return;
      }
      if (run !== this.run) return;
    }
    this.running = true;
    this.throttle.reset(performance.now());
    this.meter = new Meter();
    this.first = this.frame + 1; // of this run; answers to earlier frames are dropped
    this.shown = this.taken = null; // when the picture was taken that was sent last, and the camera's newest
    this.holdUntil = this.toldUntil = 0;
    this.off.hidden = true;
    this.onState("running");
    this.onStatus("The camera is on.");
    this.send({ type: "start", time: performance.now() / 1000 });
    this.timer = setInterval(() => this.pump(), 200); // goes on after a lost answer, and notices silence
    if (this.video.requestVideoFrameCallback) this.watch(run, null);
    this.pump();
  }

  /** Send the camera's pictures as they come, with their own times, which no busy page makes uneven. */
  watch(run, origin) {
    this.video.requestVideoFrameCallback((now, { mediaTime }) => {
      if (!this.running || run !== this.run) return;
      origin ??= now - 1000 * mediaTime;
      const time = origin + 1000 * mediaTime;
      this.taken = { time: Math.abs(time - now) < STALE ? time : now, told: now };
      this.pump();
      this.watch(run, origin);
    });
  }

  play() {
    if (this.running) this.video.play().catch(() => {}); // the next frame tries again
  }

  /** Switch the camera off; its light goes out. */
  async stop(why = "") {
    this.run += 1;
    clearInterval(this.timer);
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
    drawHand(this.overlay, null);
    this.off.hidden = false;
    this.off.textContent = why || OFF;
    if (this.running) {
      this.running = false;
      this.send({ type: "stop" });
    }
    if (why) this.onStatus(why);
    this.onState("off");
  }

  /** Take the focus that a button loses when it is disabled, unless it was moved elsewhere meanwhile. */
  focus() {
    const at = document.activeElement;
    const here = at === document.body || this.element.closest(".asl").contains(at);
    if (here) this.element.focus({ preventScroll: true });
  }

  dispose() {
    this.stop();
    this.model.off("msg:custom", this.hear);
  }

  flip() {
    return this.element.classList.toggle("asl-mirrored");
  }

  /** Send the camera's newest picture if there is room on the way. */
  async pump() {
    const now = performance.now();
    if (this.video.paused) this.play();
    if (!this.running || this.capturing || now < this.holdUntil || !this.throttle.ready(now)) return;
    if (this.throttle.silent(now)) return this.stop(SILENT);
    const id = ++this.frame;
    if (this.remote) {
      this.throttle.sent(id, now);
      this.send({ type: "frame", id });
      return this.again();
    }
    if (!this.video.videoWidth) return this.again(4);
    const taken = this.taken && now - this.taken.told < STALE ? this.taken.time : now;
    if (taken === this.shown) return; // the next picture comes by itself
    this.shown = taken;
    this.capturing = true;
    const run = this.run;
    try {
      const height = Math.round((WIDTH * this.video.videoHeight) / this.video.videoWidth);
      if (this.small.height !== height) Object.assign(this.small, { width: WIDTH, height });
      this.small.getContext("2d", { willReadFrequently: true }).drawImage(this.video, 0, 0, WIDTH, height);
      const blob = await new Promise((done) => this.small.toBlob(done, "image/jpeg", 0.85));
      const jpeg = await blob.arrayBuffer();
      if (run !== this.run) return;
      this.throttle.sent(id, now);
      this.send({ type: "frame", id, time: taken / 1000 }, [jpeg]);
    } finally {
      this.capturing = false;
    }
    this.again();
  }

  again(ms = 0) {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.pump(), ms); // not an animation frame: those stop in hidden tabs
  }

  receive(message, buffers) {
    if (message.view !== undefined && message.view !== this.view) return;
    const now = performance.now();
    const delay = message.id === undefined ? null : this.throttle.answered(message.id, now);
    if (message.type === "closed") return this.stop(message.message);
    if (message.type === "taken" || message.type === "ended") {
      this.onReading(message); // at a film's end with the last letters
      if (this.running) this.stop(message.message);
      return;
    }
    if (message.type === "error") {
      this.onStatus(message.message, true);
      this.holdUntil = now + HOLD;
      this.toldUntil = now + TOLD;
    }
    if (message.id === this.greeted.id) this.greeted.done();
    if (!Number.isInteger(message.id)) return this.onReading(message); // not the answer to a frame
    if (!this.running || message.id < this.first) return;
    if (message.type === "late" && delay !== null) this.throttle.lost += 1;
    if (message.type === "reading") {
      if (delay !== null) this.meter.add(now, delay); // one that was given up is lost there, but shown
      this.element.dataset.frames = ++this.readings;
      if (this.remote && buffers?.length) this.show(buffers[0]);
      const [width, height] = this.remote
        ? [this.film.width, this.film.height]
        : [this.video.videoWidth, this.video.videoHeight];
      const high = Math.round((640 * height) / (width || 1)) || 480;
      if (this.overlay.height !== high) {
        this.overlay.height = high;
        this.element.style.aspectRatio = `${width} / ${height}`;
      }
      drawHand(this.overlay, message.hand);
      if (now >= this.toldUntil) this.onStatus(message.status);
      this.onReading(message);
    }
    this.again();
  }

  async show(jpeg) {
    const picture = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    if (this.film.width !== picture.width || this.film.height !== picture.height) {
      Object.assign(this.film, { width: picture.width, height: picture.height });
    }
    this.film.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
  }
}

/** Keep a list of the browser's cameras, with the one that is on chosen; their names are told once one was allowed. */
export async function listCameras(select, deviceId) {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  const cameras = devices.filter((device) => device.kind === "videoinput");
  const chosen = deviceId ?? select.value;
  const options = cameras.map((camera, i) => [camera.deviceId, camera.label || `Camera ${i + 1}`]);
  fill(select, options.length ? options : [["", "Camera of this browser"]], chosen);
}

/** Keep the list as cameras come and go; returns what ends that. */
export function watchCameras(select, stage) {
  if (stage.remote) return () => {};
  const devices = navigator.mediaDevices; // none on a page without https
  const list = () => listCameras(select, stage.running ? stage.deviceId : undefined);
  devices?.addEventListener("devicechange", list);
  list();
  return () => devices?.removeEventListener("devicechange", list);
}

/** Put choices [value, text] into a list; the chosen one stays chosen if it is still there. */
export function fill(select, choices, chosen) {
  select.replaceChildren(...choices.map(([value, text]) => make("option", { value, textContent: text })));
  if (choices.some(([value]) => value === chosen)) select.value = chosen;
}
