// Run by test_throttle.py, which puts camera.mjs beside a copy of this file. The page, the camera and the kernel are made up.
import assert from "node:assert/strict";
import test, { beforeEach, mock } from "node:test";

import { LOADING, Stage } from "./camera.mjs";

class Element {
  constructor() {
    this.classList = { toggle() {} };
    this.dataset = {};
    this.style = {};
    this.videoWidth = this.videoHeight = 0;
    this.currentTime = 0;
  }
  append() {}
  setAttribute() {}
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
  const model = { on() {}, off() {}, send: (message) => sent.push(message) };
  const stage = new Stage(model, {
    onReading() {},
    onState() {},
    onStatus: (text) => told.push(text),
  });
  const track = new EventTarget();
  Object.assign(track, { stop() {}, getSettings: () => ({ deviceId: "second" }) });
  const kernel = { stage, sent, told, asked: 0 };
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
  assert.deepEqual(kernel.kinds(), ["hello", "hello", "start", "frame"]);
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
