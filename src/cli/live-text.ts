import { createLogUpdate } from 'log-update';

const REPAINT_MS = 100;
const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/** Lines at the end of a terminal that are painted over, ten times a second. */
export interface LiveText {
  /** Now, not at the next repaint. */
  repaint(): void;
  /** A line above that stays. */
  persist(line: string): void;
  /** @param leave the last picture stays, too */
  close(leave: boolean): void;
}

/**
 * @param render what to show; `frame` is the spinner's at this moment
 * @returns undefined where nothing can be painted over: in a file, in a pipe
 */
export function openLiveText(out: NodeJS.WriteStream, render: (frame: string) => string): LiveText | undefined {
  if (out.isTTY !== true) return undefined;
  const picture = createLogUpdate(out);
  const repaint = (): void => picture(render(FRAMES[Math.floor(Date.now() / REPAINT_MS) % FRAMES.length] ?? ''));
  const timer = setInterval(repaint, REPAINT_MS);
  let closed = false;
  return {
    repaint,
    persist: (line) => picture.persist(line),
    close(leave) {
      if (closed) return;
      closed = true;
      clearInterval(timer);
      if (leave) repaint();
      else picture.clear();
      picture.done();
    },
  };
}
