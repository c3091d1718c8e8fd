/** Characters that end the part of a URL that holds user, password and host. */
const ENDS = /[/?#\\]/u;

/**
 * The character that cuts a user or a password short, because it is not written as %XX: what is behind it would be taken for a path, a
 * parameter or nothing at all, and be shown as such.
 * @returns undefined where there is none
 */
export function bareCharacter(written: string): string | undefined {
  if (written.includes('#')) return '#';
  const behind = written.slice(written.indexOf('//') + 2);
  const end = behind.search(ENDS);
  if (end < 0) return undefined;
  const rest = behind.slice(end);
  if (behind[end] === '\\') return '\\';
  const path = rest.split('?')[0] ?? '';
  // A user is behind it: what was read as host and port is none.
  const cut = path.includes('@') || (rest.includes('@') && !behind.slice(0, end).includes('@'));
  return cut ? behind[end] : undefined;
}

/** `#` as `%23` */
export function escapeCharacter(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}

/** Whether all that is written as %XX is UTF-8. */
export function isDecodable(written: string): boolean {
  try {
    decodeURIComponent(written);
    return true;
  } catch {
    return false;
  }
}

/** `h1:5432,h2:5433`: libpq takes several hosts. */
export function hasSeveralHosts(written: string): boolean {
  const authority = written.slice(written.indexOf('//') + 2).split(ENDS)[0] ?? '';
  return authority.slice(authority.lastIndexOf('@') + 1).includes(',');
}

/** The port is written, also where it is the usual one of its protocol, which `URL` forgets. */
export function hasPort(written: string): boolean {
  const authority = written.slice(written.indexOf('//') + 2).split(ENDS)[0] ?? '';
  return /:\d+$/u.test(authority.slice(authority.lastIndexOf('@') + 1));
}
