import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** From the client to the server, or back. */
export type Direction = 'up' | 'down';

export interface CutOptions {
  /** Only a connection on which this text goes by in that direction; any connection by default. */
  readonly seen?: { readonly text: string; readonly going: Direction };
  /** Of what goes in this direction, from the piece with that text on, so many bytes are still let through. */
  readonly direction: Direction;
  readonly bytes: number;
}

/** A network that misbehaves on demand, between a client and one server. It passes everything on at first. */
export interface Proxy {
  readonly host: string;
  readonly port: number;
  /** Connections that are open now. */
  readonly open: number;
  /** Everything passes again; what was held back in a black hole goes on where it stopped. */
  pass(): Promise<void>;
  /** Nothing listens, and what was open is cut. */
  refuse(): Promise<void>;
  /** A black hole: connections are accepted, and nothing moves on any of them. */
  freeze(): void;
  /** Connections that are open now go silent for good, as when a firewall forgets them; new ones pass. */
  strand(): void;
  /** Resets every connection there is; new ones pass. */
  cut(): void;
  /** The same, and new ones go to another port of the same host. */
  redirect(port: number): void;
  /** Resets one connection in the middle of something; resolves when that has happened. */
  cutAfter(options: CutOptions): Promise<void>;
  /** Every piece (64 KB at most) is held up for so long, in each direction. 0 ends it. */
  slow(delayMs: number): void;
  close(): Promise<void>;
}

export interface ProxyTarget {
  readonly host: string;
  readonly port: number;
  /** A Kafka broker tells its clients where to go: this port, its own, is replaced by ours in what it answers. */
  readonly kafkaPort?: number;
}

const HOST = '127.0.0.1';

export async function openProxy(target: ProxyTarget): Promise<Proxy> {
  const proxy = new TcpProxy(target);
  await proxy.listen();
  return proxy;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  stranded: boolean;
  /** What is cut on this link, once so many bytes have passed. */
  cut: { readonly order: CutOrder; left: number } | undefined;
}

interface CutOrder extends CutOptions {
  readonly done: () => void;
}

class TcpProxy implements Proxy {
  readonly host = HOST;
  #target: ProxyTarget;
  readonly #links = new Set<Link>();
  readonly #orders = new Set<CutOrder>();
  #port = 0;
  #server: Server | undefined;
  #delayMs = 0;
  /** Settles when the black hole ends. */
  #frozen: Promise<void> | undefined;
  #thaw: () => void = () => undefined;

  constructor(target: ProxyTarget) {
    this.#target = target;
  }

  get port(): number {
    return this.#port;
  }

  get open(): number {
    return this.#links.size;
  }

  async listen(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = createServer((client) => this.#accept(client));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: HOST, port: this.#port }, resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
  }

  async pass(): Promise<void> {
    this.#thaw();
    this.#frozen = undefined;
    this.#delayMs = 0;
    await this.listen();
  }

  async refuse(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
    this.cut();
    await closed;
  }

  freeze(): void {
    this.#frozen ??= new Promise((resolve) => (this.#thaw = resolve));
  }

  strand(): void {
    for (const link of this.#links) link.stranded = true;
  }

  cut(): void {
    for (const link of this.#links) this.#reset(link);
  }

  redirect(port: number): void {
    this.#target = { ...this.#target, port };
    this.cut();
  }

  cutAfter(options: CutOptions): Promise<void> {
    return new Promise((done) => this.#orders.add({ ...options, done }));
  }

  slow(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  async close(): Promise<void> {
    this.#thaw();
    await this.refuse();
  }

  #accept(client: Socket): void {
    const server = connect(this.#target.port, this.#target.host);
    const link: Link = { client, server, stranded: false, cut: undefined };
    this.#links.add(link);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined); // "close" follows
      socket.on('close', () => {
        this.#links.delete(link);
        client.destroy();
        server.destroy();
      });
    }
    void this.#pump(link, 'up', client, server);
    void this.#pump(link, 'down', server, client);
  }

  async #pump(link: Link, direction: Direction, from: Socket, to: Socket): Promise<void> {
    try {
      for await (const piece of from as AsyncIterable<Buffer>) {
        if (this.#delayMs > 0) await sleep(this.#delayMs);
        await this.#frozen;
        if (link.stranded) await new Promise(() => undefined);
        const passing = this.#judge(link, direction, piece);
        const sent = direction === 'down' ? this.#rewritePort(passing) : passing;
        if (sent.length > 0 && !to.write(sent)) await drained(to);
        if (passing !== piece) return this.#cutNow(link, to);
      }
      await this.#frozen;
      if (!link.stranded) to.end();
    } catch {
      // The other end closed, or we did: the "close" of either ends both.
    }
  }

  /** @returns what still passes of a piece: all of it unless the link is cut here */
  #judge(link: Link, direction: Direction, piece: Buffer): Buffer {
    for (const order of this.#orders) {
      const { seen } = order;
      if (link.cut !== undefined) continue;
      if (seen !== undefined && (seen.going !== direction || !piece.includes(seen.text))) continue;
      this.#orders.delete(order);
      link.cut = { order, left: order.bytes };
    }
    const { cut } = link;
    if (cut === undefined || cut.order.direction !== direction) return piece;
    cut.left -= piece.length;
    return cut.left > 0 ? piece : piece.subarray(0, piece.length + cut.left);
  }

  #cutNow(link: Link, to: Socket): void {
    // What was let through is to arrive: a reset would overtake it.
    to.end(() => this.#reset(link));
    link.cut?.order.done();
  }

  #reset({ client, server }: Link): void {
    client.resetAndDestroy();
    server.resetAndDestroy();
  }

  /** Same length, so that nothing else of an answer changes. An address that two pieces share is not found. */
  #rewritePort(piece: Buffer): Buffer {
    if (this.#target.kafkaPort === undefined) return piece;
    const address = Buffer.alloc(HOST.length + 4);
    address.write(HOST);
    address.writeInt32BE(this.#target.kafkaPort, HOST.length);
    for (let at = piece.indexOf(address); at >= 0; at = piece.indexOf(address, at + 1))
      piece.writeInt32BE(this.#port, at + HOST.length);
    return piece;
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}
