import { DatabaseError } from 'pg';
import { describe, expect, it } from 'vitest';
import { asLedgerFailure, classifyPostgres } from '../../src/failure/classify-postgres.js';
import { Failure } from '../../src/failure/failure.js';
import { policyOf } from '../../src/failure/kinds.js';

const answer = (code: string): DatabaseError =>
  Object.assign(new DatabaseError('Key (email)=(someone@example.com) and the like', 1, 'error'), { code });
const network = (code: string): Error => Object.assign(new Error(`connect ${code} 10.0.0.1`), { code });

describe('an error of PostgreSQL', () => {
  it.each([
    ['08006', 'SourceUnavailable'],
    ['28P01', 'LoginRefused'],
    ['53300', 'SourceUnavailable'],
    ['57P01', 'SourceUnavailable'],
    ['57P03', 'SourceUnavailable'],
    ['55P03', 'LockTimeout'],
    ['40P01', 'LockTimeout'],
    ['42501', 'Unauthorized'],
    ['42P01', 'MissingTable'],
    ['42703', 'SourceChanged'],
    ['3D000', 'Misconfigured'],
    ['25006', 'SourceUnavailable'],
    ['22003', 'UnsuitableTable'],
    ['22021', 'UnsuitableTable'],
    ['22P05', 'UnsuitableTable'],
    ['25P04', 'SourceUnavailable'],
    ['26000', 'Misconfigured'],
    ['08P01', 'Misconfigured'],
    ['42P05', 'Misconfigured'],
    ['42809', 'SourceChanged'],
    ['53400', 'Misconfigured'],
    ['72000', 'LockTimeout'],
    ['P0001', 'Misconfigured'],
    ['XX000', 'SourceUnavailable'],
    ['XX001', 'SourceUnavailable'],
    ['42601', 'Unexpected'],
    ['23505', 'Unexpected'],
  ] as const)('%s is %s', (code, kind) => {
    expect(classifyPostgres(answer(code), 'reading').kind).toBe(kind);
  });

  it.each([
    network('ECONNREFUSED'),
    network('ECONNRESET'),
    network('ENOTFOUND'),
    network('EMFILE'),
    network('EADDRNOTAVAIL'),
    network('EHOSTDOWN'),
    new AggregateError([network('ECONNREFUSED'), network('ECONNREFUSED')]),
    new Error('Connection terminated unexpectedly'),
    new Error('Client has encountered a connection error and is not queryable'),
  ])('that lost the connection is transient: %s', (error) => {
    const failure = classifyPostgres(error, 'reading');
    expect(failure.kind).toBe('SourceUnavailable');
    expect(policyOf(failure.kind).treatment).toBe('transient');
  });

  it('says by the routine that raised it which of two meanings a code has', () => {
    const by = (code: string, routine: string) => classifyPostgres(Object.assign(answer(code), { routine }), 'reading');
    expect(by('42501', 'check_enable_rls')).toMatchObject({
      kind: 'Unauthorized',
      remedy: expect.stringContaining('bypassrls'),
    });
    expect(by('42501', 'aclcheck_error').remedy).toBeUndefined();
    expect(by('0A000', 'RevalidateCachedQuery').kind).toBe('LockTimeout');
    expect(by('0A000', 'other').kind).toBe('SourceUnavailable');
  });

  it('names what a privilege is lacking on, and nothing else of the text', () => {
    const denied = (message: string, routine: string): string =>
      classifyPostgres(
        Object.assign(new DatabaseError(message, 1, 'error'), { code: '42501', routine }),
        'reading batch 2 of public.orders',
      ).message;
    expect(denied('permission denied for table orders', 'aclcheck_error')).toBe(
      'The PostgreSQL user lacks a privilege on table orders while reading batch 2 of public.orders.',
    );
    expect(denied('permission denied for table orders', 'exec_stmt_raise')).not.toContain('on table');
    expect(denied('keine Berechtigung für Tabelle orders', 'aclcheck_error')).not.toContain('Tabelle');
  });

  it('names the setting that makes a database read-only, beside the standby', () => {
    expect(classifyPostgres(answer('25006'), 'reading').remedy).toContain('default_transaction_read_only');
  });

  it.each(['42809', '22012', '42P01'])('in the ledger never speaks of a table of the user (%s)', (code) => {
    expect(asLedgerFailure(classifyPostgres(answer(code), 'using the ledger')).kind).toBe('Unexpected');
  });

  it('is told in our words, because the words of the server may hold values', () => {
    const cause = answer('23505');
    const failure = classifyPostgres(cause, 'reading batch 7 of public.orders');
    expect(failure.message).toBe('PostgreSQL answered with SQLSTATE 23505 while reading batch 7 of public.orders.');
    expect(failure.cause).toBe(cause);
    expect(JSON.stringify(failure)).not.toContain('someone@');
  });

  it('that is a failure already stays what it is', () => {
    const failure = new Failure('SourceChanged', { message: 'x' });
    expect(classifyPostgres(failure, 'reading')).toBe(failure);
  });

  it('that is none of these is not called by a guess', () => {
    expect(classifyPostgres(new TypeError('x is undefined'), 'reading').kind).toBe('Unexpected');
    expect(classifyPostgres('text', 'reading').kind).toBe('Unexpected');
  });
});
