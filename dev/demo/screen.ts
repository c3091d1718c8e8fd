import { stripVTControlCharacters } from 'node:util';
import chalk, { Chalk, chalkStderr, type ChalkInstance } from 'chalk';
import stringWidth from 'string-width';

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const REPAINT_MS = 100;
/** Where nothing can be painted over, a sign of life this seldom. */
const LINE_EVERY_MS = 4_000;
const INDENT = '  ';

/** The part of the picture that moves. */
export interface MovingPicture {
  /** On a terminal. */
  readonly block: (paint: ChalkInstance) => readonly string[];
  /** In a log: the same in one line. */
  readonly line: () => string;
}

/** Says how a step goes on. */
export type Tell = (detail: string) => void;

export interface Outcome {
  readonly told: string;
  readonly well: boolean;
}

/** Where the story is told: a terminal with a moving part at its end, or plain lines elsewhere. */
export interface Screen {
  readonly paint: ChalkInstance;
  /** A line that stays. */
  say(line: string): void;
  /** A step with a mark when it is done. @param done what to say then, beside its title, and whether it went well */
  step<T>(title: string, work: (tell: Tell) => Promise<T>, done?: (result: T) => Outcome): Promise<T>;
  /** Shows a moving picture until the work is done. */
  show<T>(picture: MovingPicture, work: () => Promise<T>): Promise<T>;
  close(): void;
}

interface RunningStep {
  readonly title: string;
  detail: string;
  readonly startedAt: number;
}

export async function openScreen(out: NodeJS.WriteStream): Promise<Screen> {
  const terminal = out.isTTY === true;
  const paint = terminal ? (out === process.stderr ? chalkStderr : chalk) : new Chalk({ level: 0 });
  const picture = terminal ? (await import('log-update')).createLogUpdate(out) : undefined;
  const steps = new Set<RunningStep>();
  let moving: MovingPicture | undefined;

  const repaint = (): void => {
    if (picture === undefined) return;
    const frame = FRAMES[Math.floor(Date.now() / REPAINT_MS) % FRAMES.length] ?? '';
    const lines = [...steps].map(
      (step) =>
        `${INDENT}${paint.cyan(frame)} ${step.title} ${paint.dim(step.detail)} ${paint.dim(since(step.startedAt))}`,
    );
    const block = moving === undefined ? [] : ['', ...moving.block(paint).map((line) => INDENT + line)];
    const width = out.columns ?? 80;
    picture([...lines, ...block].map((line) => clip(line, width)).join('\n'));
  };
  const signOfLife = (): void => {
    if (moving !== undefined) out.write(`${INDENT}${moving.line()}\n`);
    for (const step of steps)
      if (Date.now() - step.startedAt >= LINE_EVERY_MS)
        out.write(`${INDENT}... ${step.title} ${step.detail} ${since(step.startedAt)}\n`);
  };
  const timer = terminal ? setInterval(repaint, REPAINT_MS) : setInterval(signOfLife, LINE_EVERY_MS);
  let closed = false;
  const say = (line: string): void => {
    if (closed) return; // a step that was interrupted ends after the curtain fell
    if (picture === undefined) out.write(`${line}\n`);
    else picture.persist(line);
  };

  return {
    paint,
    say,
    async step(title, work, done) {
      const step: RunningStep = { title, detail: '', startedAt: Date.now() };
      steps.add(step);
      repaint();
      try {
        const result = await work((detail) => (step.detail = detail));
        const { told, well } = done?.(result) ?? { told: '', well: true };
        steps.delete(step);
        const mark = well ? paint.green('✔') : paint.red('✖');
        say(`${INDENT}${mark} ${title}${told === '' ? '' : `: ${told}`} ${paint.dim(since(step.startedAt))}`);
        return result;
      } catch (error) {
        steps.delete(step);
        say(`${INDENT}${paint.red('✖')} ${title} ${paint.dim(since(step.startedAt))}`);
        throw error;
      }
    },
    async show(next, work) {
      moving = next;
      repaint();
      try {
        return await work();
      } finally {
        // The last picture stays, so that the numbers can be read after it.
        const last = picture === undefined ? [next.line()] : next.block(paint);
        moving = undefined;
        for (const line of last) say(INDENT + line);
      }
    },
    close() {
      closed = true;
      clearInterval(timer);
      picture?.clear();
      picture?.done();
    },
  };
}

function since(startedAt: number): string {
  return `${((Date.now() - startedAt) / 1_000).toFixed(1)} s`;
}

const GRAPHEMES = new Intl.Segmenter();

/** A line that wraps would be painted over in part only. One that is too long loses its colours. */
function clip(line: string, width: number): string {
  if (stringWidth(line) <= width) return line;
  let kept = '';
  for (const { segment } of GRAPHEMES.segment(stripVTControlCharacters(line))) {
    if (stringWidth(kept + segment) > width - 1) break;
    kept += segment;
  }
  return `${kept}…`;
}
