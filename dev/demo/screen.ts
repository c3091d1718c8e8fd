import chalk, { Chalk, chalkStderr, type ChalkInstance } from 'chalk';
import { openLiveText } from '../../src/cli/live-text.js';

/** Where nothing can be painted over, a sign of life this seldom. */
const LINE_EVERY_MS = 15_000;
const INDENT = '  ';

/** The part of the screen that is painted over. */
export interface LiveDisplay {
  /** On a terminal. */
  readonly block: (paint: ChalkInstance) => readonly string[];
  /** In a log: the same in one line. */
  readonly line: () => string;
}

/** Says how a step goes on. */
export type ReportProgress = (detail: string) => void;

export interface Outcome {
  readonly text: string;
  readonly well: boolean;
}

/** Where progress is written: a terminal with a live display at its end, or plain lines elsewhere. */
export interface Screen {
  readonly paint: ChalkInstance;
  /** A line that stays. */
  say(line: string): void;
  /** A step with a mark when it is done. @param done what to say then, beside its title, and whether it went well */
  step<T>(title: string, work: (report: ReportProgress) => Promise<T>, done?: (result: T) => Outcome): Promise<T>;
  /** Shows a moving picture until the work is done. */
  show<T>(picture: LiveDisplay, work: () => Promise<T>): Promise<T>;
  close(): void;
}

interface RunningStep {
  readonly title: string;
  detail: string;
  readonly startedAt: number;
}

export function openScreen(out: NodeJS.WriteStream): Screen {
  const paint = out.isTTY === true ? (out === process.stderr ? chalkStderr : chalk) : new Chalk({ level: 0 });
  const steps = new Set<RunningStep>();
  let moving: LiveDisplay | undefined;
  const live = openLiveText(out, (frame) => {
    const lines = [...steps].map(
      (step) =>
        `${INDENT}${paint.cyan(frame)} ${step.title} ${paint.dim(step.detail)} ${paint.dim(since(step.startedAt))}`,
    );
    const block = moving === undefined ? [] : ['', ...moving.block(paint).map((line) => INDENT + line)];
    return [...lines, ...block].join('\n');
  });
  const signOfLife = (): void => {
    if (moving !== undefined) out.write(`${INDENT}${moving.line()}\n`);
    for (const step of steps)
      if (Date.now() - step.startedAt >= LINE_EVERY_MS)
        out.write(`${INDENT}${since(step.startedAt)}  ${step.detail === '' ? step.title : step.detail}\n`);
  };
  const timer = live === undefined ? setInterval(signOfLife, LINE_EVERY_MS) : undefined;
  let closed = false;
  const say = (line: string): void => {
    if (closed) return; // a step that was interrupted ends later than the screen
    if (live === undefined) out.write(`${line}\n`);
    else live.persist(line);
  };

  return {
    paint,
    say,
    async step(title, work, done) {
      const step: RunningStep = { title, detail: '', startedAt: Date.now() };
      steps.add(step);
      live?.repaint();
      try {
        const result = await work((detail) => (step.detail = detail));
        const { text, well } = done?.(result) ?? { text: '', well: true };
        steps.delete(step);
        const mark = well ? paint.green('✔') : paint.red('✖');
        say(`${INDENT}${mark} ${title}${text === '' ? '' : `: ${text}`} ${paint.dim(since(step.startedAt))}`);
        return result;
      } catch (error) {
        steps.delete(step);
        say(`${INDENT}${paint.red('✖')} ${title} ${paint.dim(since(step.startedAt))}`);
        throw error;
      }
    },
    async show(next, work) {
      moving = next;
      live?.repaint();
      try {
        return await work();
      } finally {
        // The last picture stays, so that the numbers can be read after it.
        const last = live === undefined ? [next.line()] : next.block(paint);
        moving = undefined;
        for (const line of last) say(INDENT + line);
      }
    },
    close() {
      closed = true;
      clearInterval(timer);
      live?.close(false);
    },
  };
}

function since(startedAt: number): string {
  return `${((Date.now() - startedAt) / 1_000).toFixed(1)} s`;
}
