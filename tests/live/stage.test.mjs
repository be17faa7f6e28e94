// Run by test_throttle.py, which puts camera.mjs beside a copy of this file. The page, the camera and the kernel are made up.
import assert from "node:assert/strict";
import test, { beforeEach, mock } from "node:test";

import { EXPIRE, LOADING, Stage, listCameras } from "./camera.mjs";

class Element {
  constructor() {
    this.classList = { toggle() {} };
    this.dataset = {};
    this.style = {};
    this.videoWidth = this.videoHeight = 0;
    this.currentTime = 0;
    this.attributes = {};
  }
  append(...children) {
    this.children = children;
  }
  addEventListener() {}
  setAttribute(name, value) {
    this.attributes[name] = value;
  }
  async play() {
    this.videoWidth = 640;
    this.videoHeight = 480;
  }
  getContext() {
    return { clearRect() {}, drawImage() {} };
  }
  toBlob(done) {
    done(new Blob(["jpeg"]));
  }
}
globalThis.document = { createElement: () => new Element() };

/** A stage whose messages are kept in `sent`; `asked` counts how often it asked for the camera. */
function open() {
  const sent = [];
  const told = [];
  const shown = [];
  const model = { on() {}, off() {}, send: (message) => sent.push(message) };
  const stage = new Stage(model, {
    onReading: (message) => shown.push(message),
    onState() {},
    onStatus: (text) => told.push(text),
  });
  const track = new EventTarget();
  Object.assign(track, { stop() {}, getSettings: () => ({ deviceId: "second" }) });
  const kernel = { stage, sent, told, shown, asked: 0 };
  const mediaDevices = {
    async getUserMedia() {
      kernel.asked += 1;
      return { getTracks: () => [track], getVideoTracks: () => [track] };
    },
  };
  Object.defineProperty(globalThis, "navigator", { value: { mediaDevices }, configurable: true });
  kernel.kinds = () => sent.map((message) => message.type);
  kernel.answer = (message) => stage.receive({ type: "state", view: stage.view, ...message }, []);
  kernel.frames = () => sent.filter((message) => message.type === "frame");
  return kernel;
}

/** Let promises go on, and the made-up clock by some ms. */
async function pass(ms = 0) {
  for (let step = 0; step < 20; step++) await new Promise(setImmediate);
  mock.timers.tick(ms);
  for (let step = 0; step < 20; step++) await new Promise(setImmediate);
}

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
});

test("the camera is not asked for before the kernel has answered", async () => {
  const kernel = open();
  kernel.stage.start();
  await pass(5000);
  assert.deepEqual(kernel.kinds(), ["hello", "hello"]);
  assert.equal(kernel.asked, 0);
  assert.equal(kernel.told.at(-1), "Getting ready.");
  kernel.answer({ id: kernel.sent[0].id }); // to the greeting of a page that had just appeared
  await pass(1000);
  assert.equal(kernel.asked, 0);
  kernel.answer({ id: kernel.sent[1].id });
  await pass(10);
  assert.equal(kernel.asked, 1);
  assert.ok(kernel.stage.running);
  assert.deepEqual(kernel.kinds().slice(0, 4), ["hello", "hello", "start", "frame"]);
  await kernel.stage.stop();
});

test("an error is an answer too", async () => {
  const kernel = open();
  kernel.stage.start();
  await pass();
  kernel.answer({ type: "error", message: "broken", id: kernel.sent[1].id });
  await pass();
  assert.equal(kernel.asked, 1);
  await kernel.stage.stop();
});

test("a kernel that never answers is told, and the camera stays off", async () => {
  const kernel = open();
  kernel.stage.start();
  await pass(LOADING - 1);
  assert.equal(kernel.told.at(-1), "Getting ready.");
  await pass(2);
  assert.match(kernel.told.at(-1), /kernel does not answer/);
  assert.equal(kernel.asked, 0);
});

test("Stop ends the waiting", async () => {
  const kernel = open();
  kernel.stage.start();
  await pass();
  await kernel.stage.stop("Stopped; the camera is off.");
  kernel.answer({ id: kernel.sent[1].id });
  await pass(LOADING);
  assert.equal(kernel.asked, 0);
  assert.equal(kernel.told.at(-1), "Stopped; the camera is off.");
});

/** A stage that is on, a clock that the test sets, and the browser's call for each picture of the camera. */
async function running(tellsOfPictures = true) {
  const kernel = open();
  kernel.clock = 1000;
  mock.restoreAll();
  mock.method(performance, "now", () => kernel.clock);
  let tell = null;
  if (tellsOfPictures) kernel.stage.video.requestVideoFrameCallback = (callback) => (tell = callback);
  /** The camera's next picture, told `late` ms late. */
  kernel.picture = async (mediaTime, late = 0) => {
    kernel.clock = 2000 + 1000 * mediaTime + late;
    tell(kernel.clock, { mediaTime });
    await pass();
    await pass();
  };
  kernel.read = async () => {
    for (const { id } of kernel.frames()) kernel.answer({ type: "reading", id, hand: null });
    await pass();
  };
  kernel.stage.start();
  await pass();
  kernel.answer({ id: kernel.sent.at(-1).id });
  await pass();
  await kernel.read();
  return kernel;
}

test("frames carry the times at which the camera took them", async () => {
  const kernel = await running();
  const before = kernel.frames().length;
  for (const [mediaTime, late] of [[5, 0], [5.033, 21], [5.067, 4], [5.1, 30]]) {
    await kernel.picture(mediaTime, late);
    await kernel.read();
  }
  const times = kernel.frames().slice(before).map((frame) => frame.time);
  assert.deepEqual(times.map((time) => Math.round(1000 * (time - times[0]))), [0, 33, 67, 100]);
  await kernel.read();
  await pass(200);
  assert.equal(kernel.frames().length, before + 4); // no picture is sent twice
  await kernel.stage.stop();
});

test("a picture whose time is nonsense, and a hidden page that is told of none, take the page's clock", async () => {
  const kernel = await running();
  await kernel.picture(5);
  await kernel.read();
  await kernel.picture(5.033);
  await kernel.read();
  kernel.clock += 40;
  await kernel.picture(0.001, 5100); // the camera's clock began anew
  assert.equal(kernel.frames().at(-1).time, kernel.clock / 1000);
  await kernel.read();
  kernel.clock += 1000;
  await pass(200);
  assert.equal(kernel.frames().at(-1).time, kernel.clock / 1000);
  await kernel.stage.stop();
});

test("after an error no frame is sent for a while, whatever the second frame's answer is", async () => {
  const kernel = await running(false);
  kernel.clock += 40;
  await pass(200);
  kernel.clock += 40;
  await pass(200);
  const [first, second] = kernel.frames().slice(-2);
  const sent = kernel.frames().length;
  kernel.answer({ type: "error", id: first.id, message: "broken" });
  kernel.answer({ type: "reading", id: second.id, hand: null });
  for (let wait = 0; wait < 2; wait++) {
    kernel.clock += 200;
    await pass(200);
    assert.equal(kernel.frames().length, sent);
  }
  kernel.clock += 200;
  await pass(200);
  assert.ok(kernel.frames().length > sent);
  await kernel.stage.stop();
});

test("a reading that comes late is shown but not timed, one of an earlier run is not shown", async () => {
  const kernel = await running(false);
  kernel.clock += 40;
  await pass(200);
  const { id } = kernel.frames().at(-1);
  const timed = kernel.stage.meter.seen.length;
  kernel.clock += EXPIRE + 10;
  await pass(200);
  kernel.answer({ type: "reading", id, hand: null, text: "HEL" });
  assert.equal(kernel.shown.at(-1).text, "HEL");
  assert.equal(kernel.stage.meter.seen.length, timed);
  assert.equal(kernel.stage.throttle.lost, 1);
  kernel.answer({ type: "late", id });
  assert.equal(kernel.stage.throttle.lost, 1);

  const earlier = kernel.frames().at(-1).id;
  kernel.stage.start();
  await pass();
  kernel.answer({ id: kernel.sent.at(-1).id });
  await pass();
  assert.ok(kernel.stage.running);
  kernel.answer({ type: "reading", id: earlier, hand: null, text: "OLD" });
  assert.notEqual(kernel.shown.at(-1).text, "OLD");
  kernel.answer({ type: "reading", id: kernel.frames().at(-1).id, hand: null, text: "NEW" });
  assert.equal(kernel.shown.at(-1).text, "NEW");
  await kernel.stage.stop();
});

test("the end of a film brings its last letters", async () => {
  const kernel = await running(false);
  kernel.answer({ type: "ended", message: "The film is over; press Start.", text: "WORLD", id: kernel.frames().at(-1).id });
  assert.equal(kernel.shown.at(-1).text, "WORLD");
  assert.equal(kernel.told.at(-1), "The film is over; press Start.");
  assert.ok(!kernel.stage.running);
});

test("two cells, each with a module of its own, give no id twice, and labels belong to their controls", async () => {
  const ids = [];
  for (const module of [await import("./camera.mjs?1"), await import("./camera.mjs?2")]) {
    for (let i = 0; i < 2; i++) {
      const control = new Element();
      const label = module.field("Letters", control).children[0];
      assert.equal(label.attributes.for, control.id);
      ids.push(control.id);
    }
  }
  assert.equal(new Set(ids).size, 4, ids.join(" "));
});

test("the list names the camera that is on", async () => {
  const kernel = await running();
  const devices = ["first", "second"].map((deviceId) => ({ kind: "videoinput", deviceId, label: deviceId }));
  navigator.mediaDevices.enumerateDevices = async () => devices;
  const select = { value: "first", replaceChildren() {} };
  await listCameras(select, kernel.stage.deviceId);
  assert.equal(select.value, "second");
  await kernel.stage.stop();
});
