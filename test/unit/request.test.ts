import { describe, expect, it } from 'vitest';
import { type Action, handleRequest, readRequest, type Request } from '../../workflows/request.js';
import { phaseOf, type TableState } from '../../workflows/table-state.js';
import { after, AT, copied, LATER, parked, paused, prepared, removeRequested } from '../support/table-events.js';

const streaming = after(prepared, copied);

function ask(state: TableState, action: Action, message: unknown = {}): ReturnType<typeof handleRequest> {
  const request = readRequest(action, message);
  if (typeof request === 'string') throw new Error(request);
  return handleRequest(state, request, LATER);
}

describe('reading a message', () => {
  const good: readonly [Action, unknown, Request][] = [
    ['pause', undefined, { action: 'pause', requestId: null, reason: null }],
    ['pause', null, { action: 'pause', requestId: null, reason: null }],
    ['pause', {}, { action: 'pause', requestId: null, reason: null }],
    ['pause', { reason: 'vacuum', requestId: 'r1' }, { action: 'pause', requestId: 'r1', reason: 'vacuum' }],
    ['resume', { requestId: 'r1' }, { action: 'resume', requestId: 'r1' }],
    ['remove', {}, { action: 'remove', requestId: null, dropTarget: false }],
    ['remove', { dropTarget: true }, { action: 'remove', requestId: null, dropTarget: true }],
  ];
  it.each(good)('%s %j is understood', (action, message, request) => {
    expect(readRequest(action, message)).toEqual(request);
  });

  const bad: readonly [Action, unknown, RegExp][] = [
    ['pause', 'now', /one JSON object/u],
    ['pause', 7, /one JSON object/u],
    ['pause', ['now'], /one JSON object/u],
    ['pause', { reason: 5 }, /reason/u],
    ['pause', { reason: '' }, /reason/u],
    ['pause', { reason: 'x'.repeat(501) }, /reason/u],
    ['pause', { requestId: 'x'.repeat(201) }, /requestId/u],
    ['pause', { requestId: {} }, /requestId/u],
    ['resume', { reason: 'why not' }, /no field "reason"/u],
    ['remove', { dropTarget: 'yes' }, /dropTarget must be/u],
    ['remove', { droptarget: true }, /no field "droptarget": it takes requestId, dropTarget/u],
  ];
  it.each(bad)('%s %j is refused, with what is wrong', (action, message, problem) => {
    expect(readRequest(action, message)).toMatch(problem);
  });
});

describe('pause', () => {
  it('pauses, with its reason', () => {
    const { state, answer } = ask(streaming, 'pause', { reason: 'vacuum' });
    expect(state.pause).toEqual({ since: LATER, reason: 'vacuum' });
    expect(answer).toMatchObject({ accepted: true, changed: true, phase: 'paused' });
  });

  it('of a paused table keeps the first pause', () => {
    const { state, answer } = ask(after(prepared, paused), 'pause', { reason: 'again' });
    expect(state.pause).toEqual({ since: AT, reason: null });
    expect(answer).toMatchObject({ accepted: true, changed: false, message: expect.stringContaining(AT) as unknown });
  });

  it('of a table that is being removed is refused', () => {
    const { state, answer } = ask(after(prepared, removeRequested()), 'pause');
    expect(answer).toMatchObject({ accepted: false, changed: false, phase: 'removing' });
    expect(state.pause).toBeNull();
  });
});

describe('resume', () => {
  it('lifts the pause and every park, and says what is tried again', () => {
    const { state, answer } = ask(after(prepared, copied, parked('load:main'), parked('publish'), paused), 'resume');
    expect(phaseOf(state)).toBe('streaming');
    expect(answer).toEqual({
      accepted: true,
      changed: true,
      phase: 'streaming',
      message: 'Resumed. Tried again: load:main, publish.',
    });
  });

  it('of a table that runs has nothing to do, and says so', () => {
    const { state, answer } = ask(streaming, 'resume');
    expect(state).toEqual(streaming);
    expect(answer).toMatchObject({
      accepted: true,
      changed: false,
      message: 'Nothing to resume: the table is streaming.',
    });
  });

  it('tries a parked removal again, and is refused by one that runs', () => {
    expect(ask(after(removeRequested(), parked('remove')), 'resume').answer).toMatchObject({
      changed: true,
      phase: 'removing',
    });
    expect(ask(after(removeRequested()), 'resume').answer).toMatchObject({ accepted: false, phase: 'removing' });
  });
});

describe('remove', () => {
  it.each([false, true])('removes, dropTarget %s', (dropTarget) => {
    const { state, answer } = ask(streaming, 'remove', { dropTarget });
    expect(state.lifecycle).toEqual({ step: 'removing', dropTarget, since: LATER });
    expect(answer).toMatchObject({ accepted: true, changed: true, phase: 'removing' });
  });

  it('again changes nothing, and is refused when it asks for other terms', () => {
    const removing = after(removeRequested(false));
    expect(ask(removing, 'remove').answer).toMatchObject({ accepted: true, changed: false });
    const { state, answer } = ask(removing, 'remove', { dropTarget: true });
    expect(answer).toMatchObject({ accepted: false, changed: false });
    expect(state.lifecycle).toMatchObject({ dropTarget: false });
  });
});

describe('a request id', () => {
  it('makes a repeat do nothing, even after the opposite was asked for', () => {
    const first = ask(streaming, 'pause', { requestId: 'r1' });
    const second = ask(first.state, 'resume', { requestId: 'r2' });
    const repeat = ask(second.state, 'pause', { requestId: 'r1' });
    expect(repeat.state).toBe(second.state);
    expect(repeat.answer).toMatchObject({ accepted: true, changed: false, phase: 'streaming' });
  });

  it('is remembered for a request that had nothing to do', () => {
    const first = ask(streaming, 'resume', { requestId: 'r1' });
    const second = ask(first.state, 'pause');
    expect(ask(second.state, 'resume', { requestId: 'r1' }).answer.phase).toBe('paused');
  });

  it('is not needed', () => {
    expect(ask(streaming, 'pause').state.handled).toEqual([]);
  });
});
