/**
 * Every error code of Node that a connection to a server can end with: the end of a sentence that begins with the server's name and
 * address. All mean that the server is not there for us now; which kind that is, its name says.
 */
export const NODE_CODES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused the connection: nothing listens there',
  ECONNRESET: 'closed the connection at once',
  ECONNABORTED: 'closed the connection at once',
  EPIPE: 'closed the connection at once',
  ENOTCONN: 'closed the connection at once',
  ENOTFOUND: 'cannot be found: no such host name',
  EAI_AGAIN: 'cannot be found: the name server does not answer',
  EAI_FAIL: 'cannot be found: the name server failed',
  EAI_NODATA: 'cannot be found: no address for the host name',
  EAI_NONAME: 'cannot be found: no such host name',
  ETIMEDOUT: 'does not answer',
  ESOCKETTIMEDOUT: 'does not answer',
  ERR_SOCKET_CONNECTION_TIMEOUT: 'does not answer',
  EHOSTUNREACH: 'cannot be reached from here: no route to the host',
  EHOSTDOWN: 'cannot be reached from here: the host is down',
  ENETUNREACH: 'cannot be reached from here: no route to its network',
  ENETDOWN: 'cannot be reached from here: the network is down',
  ENETRESET: 'cannot be reached from here: the network was reset',
  EADDRNOTAVAIL: 'cannot be reached: this machine has no free port or no such address',
  EMFILE: 'cannot be reached: this process has no file descriptors left (ulimit -n)',
  ENFILE: 'cannot be reached: this machine has no file descriptors left',
  ENOBUFS: 'cannot be reached: this machine has no memory left for sockets',
  ENOMEM: 'cannot be reached: this machine has no memory left',
  EACCES: 'cannot be reached: this user may not open that socket',
  EPERM: 'cannot be reached: a rule of this machine forbids it',
  ENOENT: 'cannot be reached: there is no such socket',
  ERR_SOCKET_CLOSED: 'closed the connection',
  ERR_STREAM_PREMATURE_CLOSE: 'closed the connection before its answer ended',
  HPE_INVALID_CONSTANT: 'does not answer in HTTP',
};

/** Texts of the driver `pg`, which has no codes for them and which a server cannot produce: the connection is lost. */
export const LOST_CONNECTIONS: readonly string[] = [
  'Connection terminated',
  'Connection terminated unexpectedly',
  'Connection terminated due to connection timeout',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
  'timeout expired',
  'timeout exceeded when trying to connect',
  'Query read timeout',
];
