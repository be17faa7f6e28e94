// Run by test_throttle.py, which puts camera.mjs beside a copy of this file.
import assert from "node:assert/strict";
import test from "node:test";

import { EXPIRE, LIMIT, Meter, SILENCE, Throttle, cameraProblem } from "./camera.mjs";

test("no more than the limit is on its way", () => {
  const throttle = new Throttle(2, 1000);
  assert.ok(throttle.ready(0));
  throttle.sent(1, 0);
  assert.ok(throttle.ready(1));
  throttle.sent(2, 1);
  assert.ok(!throttle.ready(2));
  assert.equal(throttle.answered(1, 40), 40);
  assert.ok(throttle.ready(40));
  assert.equal(throttle.lost, 0);
});

test("a lost answer expires, and coming late it counts for nothing", () => {
  const throttle = new Throttle(1, 1000);
  throttle.sent(1, 0);
  assert.ok(!throttle.ready(999));
  assert.ok(throttle.ready(1000));
  assert.equal(throttle.lost, 1);
  throttle.sent(2, 1000);
  assert.equal(throttle.answered(1, 1010), null);
  assert.ok(!throttle.ready(1010));
});

test("an answer that comes twice frees one place only", () => {
  const throttle = new Throttle(2, 1000);
  throttle.sent(1, 0);
  throttle.sent(2, 0);
  assert.equal(throttle.answered(1, 5), 5);
  assert.equal(throttle.answered(1, 6), null);
  throttle.sent(3, 6);
  assert.ok(!throttle.ready(7));
});

test("silence is noticed, and a reset ends it", () => {
  const throttle = new Throttle();
  throttle.reset(100);
  assert.ok(!throttle.silent(100 + SILENCE));
  assert.ok(throttle.silent(101 + SILENCE));
  throttle.reset(200 + SILENCE);
  assert.ok(!throttle.silent(201 + SILENCE));
});

test("a hundred frames over a connection that loses every tenth", () => {
  const throttle = new Throttle(LIMIT, EXPIRE);
  let now = 0;
  let most = 0;
  const back = []; // [when, id]
  for (let id = 1; id <= 100; ) {
    while (back.length && back[0][0] <= now) throttle.answered(back.shift()[1], now);
    if (throttle.ready(now)) {
      throttle.sent(id, now);
      if (id % 10) back.push([now + 50, id]);
      id += 1;
    }
    most = Math.max(most, throttle.pending.size);
    now += 5;
  }
  throttle.ready(now + EXPIRE);
  assert.equal(most, LIMIT);
  assert.equal(throttle.lost, 10);
});

test("the meter tells rate and delay of the last two seconds", () => {
  const meter = new Meter();
  assert.equal(meter.rate, 0);
  for (let i = 0; i <= 100; i++) meter.add(i * 40, i < 90 ? 30 : 60);
  assert.equal(Math.round(meter.rate), 25);
  assert.equal(meter.delay, 30);
});

test("the usual camera errors are told in words", () => {
  assert.match(cameraProblem({ name: "NotAllowedError" }), /allow it/);
  assert.match(cameraProblem({ name: "NotFoundError" }), /No camera/);
  assert.match(cameraProblem({ name: "Odd", message: "what" }), /Odd.*what/);
});
