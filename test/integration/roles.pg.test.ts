import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrateLedger } from '../../src/ledger/migrate.js';
import type { Settings } from '../../src/settings/settings.js';
import { connectPostgres } from '../../src/connect/postgres.js';
import { explainFingerprint } from '../../src/source/catalog/fingerprint-difference.js';
import { fingerprintTable } from '../../src/source/catalog/fingerprint.js';
import { queryBounded } from '../../src/ledger/query.js';
import { explainUnreadable } from '../../src/source/explain-unreadable.js';
import { ensureFlushed } from '../../src/source/flush.js';
import { inspectTable } from '../../src/source/catalog/inspect.js';
import { removeOutbox } from '../../src/source/outbox/install.js';
import { outboxCapture } from '../../src/source/outbox/outbox-capture.js';
import { allocatePosition, settle } from '../../src/source/settle.js';
import { leastRole, roleScriptFor } from '../support/least-role.js';
import { freshDatabase, freshName, leastRoleOf, type PostgresAddress } from '../support/stack.js';
import { drain, nameBatch, readAll, replicate, settingsOf } from '../support/source-table.js';

/** What the role of `sql/roles/postgres.sql` can do, what it cannot, and that each of its rights is needed. */
describe('the role that pg2click connects as', async () => {
  const owner = await freshDatabase('roles');
  const role = leastRoleOf(owner.database);
  let address: PostgresAddress;
  let settings: Settings;
  /** The administrator and owner of the tables, and our own session. */
  let admin: pg.Client;
  let our: pg.Client;

  beforeAll(async () => {
    address = await leastRole(owner);
    settings = settingsOf(address);
    admin = new pg.Client(owner);
    await admin.connect();
    our = await connectPostgres(settings, { name: 'test' });
    await admin.query(
      /* sql */ `create schema shop; create schema kinds; create type kinds.mood as enum ('fine', 'low')`,
    );
  });
  afterAll(() => Promise.all([admin.end(), our.end()]));

  const make = async (columns = 'id int primary key, v text'): Promise<string> => {
    const table = freshName('t');
    await admin.query(`create table shop.${table} (${columns})`);
    return table;
  };
  const add = (table: string): ReturnType<typeof replicate> => replicate(our, { schema: 'shop', table });
  const leftovers = async (id: string): Promise<number> =>
    (
      await admin.query(
        `select from pg_class where relname like 'outbox\\_${id}%'
         union all select from pg_proc where proname like 'capture\\_${id}\\_%'
         union all select from pg_trigger where tgname like 'pg2click\\_${id}\\_%'`,
      )
    ).rowCount ?? -1;
  const refusal = (statement: string, client = our): Promise<string> =>
    client.query(statement).then(
      () => 'done',
      (error: unknown) => String((error as { code?: unknown }).code),
    );

  it('is named with the table that it may not read, among many, and the statement that grants it', async () => {
    const [readable, hidden] = [await make(), await make()];
    await admin.query(/* sql */ `revoke select on shop.${hidden} from ${role}, public`);
    const met = await queryBounded(our, /* sql */ `select from shop.${hidden}`).catch((error: unknown) => error);
    const tables = [readable, hidden].map((table) => ({ schema: 'shop', table }));
    expect(await explainUnreadable(our, tables, met)).toMatchObject({
      kind: 'Unauthorized',
      message: `The PostgreSQL role "${role}" may not read shop.${hidden}.`,
      remedy: `Run in PostgreSQL: grant select on table "shop"."${hidden}" to "${role}"`,
    });
  });

  it('is nothing but a login that owns the schema pg2click', async () => {
    const found = await admin.query(
      /* sql */ `select rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls,
        has_database_privilege(oid, current_database(), 'create') as creates,
        (select count(*)::int from pg_auth_members where member = r.oid) as memberships,
        (select array_agg(nspname::text) from pg_namespace where nspowner = r.oid) as schemas
        from pg_roles r where rolname = $1`,
      [role],
    );
    expect(found.rows).toEqual([
      {
        rolcanlogin: true,
        rolsuper: false,
        rolcreatedb: false,
        rolcreaterole: false,
        rolreplication: false,
        rolbypassrls: false,
        creates: false,
        memberships: 0,
        schemas: ['pg2click'],
      },
    ]);
  });

  it('changes no row and no definition of a table that it replicates', async () => {
    const t = await make();
    await add(t);
    for (const statement of [
      `insert into shop.${t} values (1)`,
      `update shop.${t} set v = ''`,
      `delete from shop.${t}`,
      `truncate shop.${t}`,
      `alter table shop.${t} add x int`,
      `alter table shop.${t} disable trigger user`,
      `drop table shop.${t}`,
      `create table shop.${t}_2 (id int)`,
    ])
      expect(await refusal(statement), statement).toBe('42501');
  });

  it('makes the ledger, follows a table through its whole life, and takes everything off again', async () => {
    const t = await make();
    expect(await migrateLedger(our)).not.toHaveLength(0);
    expect(await migrateLedger(our)).toEqual([]);
    const table = await add(t);
    const before = await fingerprintTable(our, table);
    await admin.query(`set session_replication_role = replica; insert into shop.${t} values (1, 'a'), (2, 'b');
      reset session_replication_role; delete from shop.${t} where id = 2; truncate shop.${t}`);
    expect((await drain(our, table)).map(({ kind }) => kind)).toEqual(['row', 'row', 'truncate']);
    await allocatePosition(our, table.id);
    await ensureFlushed(our);
    await settle(our, table.relation, { signal: AbortSignal.timeout(5_000) });
    expect(explainFingerprint(before, await fingerprintTable(our, table))).toBe('');
    await removeOutbox(our, table);
    expect(await leftovers(table.id)).toBe(0);
    await admin.query(`insert into shop.${t} values (3)`);
  });

  it('looks again at a table whose triggers are there without the functions of a later script', async () => {
    const t = await make();
    const known = await add(t);
    const right = `execute on function pg2click_admin.enable_replica(regclass, name)`;
    await admin.query(`revoke ${right} from ${role}`);
    try {
      const name = { schema: 'shop', table: t };
      expect(await outboxCapture.inspect(our, name, { key: known.key, known })).toMatchObject({ key: known.key });
      await expect(outboxCapture.inspect(our, name, {})).rejects.toMatchObject({ kind: 'Unauthorized' });
    } finally {
      await admin.query(`grant ${right} to ${role}`);
    }
  });

  it('takes the outbox off also where every right to the table was taken from it, with and without the table', async () => {
    const [one, two] = [await make(), await make()];
    const [kept, dropped] = [await add(one), await add(two)];
    await admin.query(`revoke all on table shop.${one} from ${role}; revoke usage on schema shop from ${role};
      drop table shop.${two}`);
    await removeOutbox(our, kept);
    await removeOutbox(our, dropped);
    await admin.query(`grant usage on schema shop to ${role}`);
    expect([await leftovers(kept.id), await leftovers(dropped.id)]).toEqual([0, 0]);
  });

  it('does not wait for writers when it takes the outbox off, and takes all of it or nothing', async () => {
    const t = await make();
    const table = await add(t);
    await admin.query(`begin; insert into shop.${t} values (1)`);
    await expect(removeOutbox(our, table, { giveUpMs: 0 })).rejects.toMatchObject({ kind: 'LockTimeout' });
    await admin.query('commit');
    expect(await drain(our, table)).toHaveLength(1);
    await removeOutbox(our, table);
    expect(await leftovers(table.id)).toBe(0);
  });

  it('leaves the owner free to alter the table, to take our triggers off, and to drop it', async () => {
    const t = await make();
    const table = await add(t);
    await admin.query(`alter table shop.${t} alter id type bigint, add x int; alter table shop.${t} rename to ${t}_new;
      insert into shop.${t}_new values (1); drop trigger pg2click_${table.id}_insert on shop.${t}_new;
      drop table shop.${t}_new`);
  });

  describe('needs each of its rights', () => {
    /** What is taken, what gives it back, and what is said when a table is added then: with the way out. */
    const RIGHTS: readonly (readonly [take: string, give: string, message: string, remedy: string])[] = [
      [
        `revoke usage on schema shop from ROLE`,
        `grant usage on schema shop to ROLE`,
        `The PostgreSQL role "ROLE" may not use the schema of shop.TABLE.`,
        `grant usage on schema "shop" to "ROLE"`,
      ],
      [
        `revoke select on table shop.TABLE from ROLE`,
        `grant select on table shop.TABLE to ROLE`,
        `The PostgreSQL role "ROLE" may not read shop.TABLE.`,
        `grant select on table "shop"."TABLE" to "ROLE"`,
      ],
      [
        `revoke trigger on table shop.TABLE from ROLE`,
        `grant trigger on table shop.TABLE to ROLE`,
        `The PostgreSQL role "ROLE" may not put triggers on shop.TABLE.`,
        `grant trigger on table "shop"."TABLE" to "ROLE"; then add the table, or resume it if it was added.`,
      ],
      ...[
        'usage on schema pg2click_admin',
        'execute on function pg2click_admin.enable_always(regclass, name)',
        'execute on function pg2click_admin.enable_replica(regclass, name)',
      ].map(
        (right) =>
          [
            `revoke ${right} from ROLE`,
            `grant ${right} to ROLE`,
            `The PostgreSQL role "ROLE" may not let triggers of shop.TABLE fire in sessions that apply changes of elsewhere, which takes the owner of the table.`,
            `sql/roles/postgres.sql`,
          ] as const,
      ),
      [
        `revoke usage on schema kinds from ROLE`,
        `grant usage on schema kinds to ROLE`,
        `The PostgreSQL role may not use the type or collation of column id of shop.TABLE.`,
        `grant usage on schema kinds to ROLE`,
      ],
      [
        `revoke usage on type kinds.mood from public`,
        `grant usage on type kinds.mood to public`,
        `The PostgreSQL role may not use the type or collation of column id of shop.TABLE.`,
        `grant usage on type kinds.mood to ROLE`,
      ],
    ];
    for (const [take, give, message, remedy] of RIGHTS) {
      it(`says what to grant after: ${take}`, async () => {
        const t = await make('id kinds.mood primary key');
        const named = (text: string): string => text.replaceAll('ROLE', role).replaceAll('TABLE', t);
        await admin.query(named(take));
        const refused: unknown = await add(t).catch((error: unknown) => error);
        await admin.query(named(give));
        expect(refused).toMatchObject({
          kind: 'Unauthorized',
          message: named(message),
          remedy: expect.stringContaining(named(remedy)) as string,
        });
        const { rowCount } = await admin.query(`select from pg_trigger where tgrelid = 'shop.${t}'::regclass`);
        expect(rowCount).toBe(0);
        await add(t);
      });
    }

    it('says so where it may not connect', async () => {
      await admin.query(`revoke connect on database ${owner.database} from public, ${role}`);
      const refused: unknown = await connectPostgres(settings, { name: 'test' }).catch((error: unknown) => error);
      await admin.query(`grant connect on database ${owner.database} to ${role}`);
      expect(refused).toMatchObject({
        kind: 'Unauthorized',
        message: expect.stringContaining(`may not connect to the database "${owner.database}"`) as string,
      });
      await (await connectPostgres(settings, { name: 'test' })).end();
    });

    it('moves rows with SELECT alone, and stops without it', async () => {
      const t = await make();
      const table = await add(t);
      await admin.query(`revoke trigger on table shop.${t} from ${role}; insert into shop.${t} values (1)`);
      expect(await drain(our, table)).toHaveLength(1);
      await admin.query(`revoke select on table shop.${t} from ${role}; insert into shop.${t} values (2)`);
      const other = await connectPostgres(settings, { name: 'test' });
      await expect(drain(other, table)).rejects.toMatchObject({ kind: 'Unauthorized' });
      await other.end();
    });

    it('refuses row-level security that hides rows from it, when the table is added and later', async () => {
      const t = await make();
      await admin.query(`alter table shop.${t} enable row level security`);
      await expect(inspectTable(our, { schema: 'shop', table: t })).rejects.toMatchObject({
        kind: 'UnsuitableTable',
        message: expect.stringContaining('hides rows') as string,
      });
      await admin.query(`alter table shop.${t} disable row level security`);
      const table = await add(t);
      await admin.query(`insert into shop.${t} values (1); alter table shop.${t} enable row level security`);
      const other = await connectPostgres(settings, { name: 'test' });
      await expect(drain(other, table)).rejects.toMatchObject({ kind: 'Unauthorized' });
      await other.end();
    });
  });

  describe.each([
    ['always', 'A', 'truncate'],
    ['replica', 'R', 'updated'],
  ])('the function that enables triggers for it: %s', (sessions, letter, event) => {
    const enable = (table: string, trigger: string): Promise<string> =>
      refusal(`select pg2click_admin.enable_${sessions}('shop.${table}'::regclass, '${trigger}')`);
    const enabled = async (table: string, trigger: string): Promise<string | undefined> =>
      (
        await admin.query<{ tgenabled: string }>(
          `select tgenabled from pg_trigger where tgrelid = 'shop.${table}'::regclass and tgname = '${trigger}'`,
        )
      ).rows[0]?.tgenabled;

    it('enables ours again after someone disabled it', async () => {
      const t = await make();
      const { id } = await add(t);
      await admin.query(`alter table shop.${t} disable trigger pg2click_${id}_${event}`);
      expect(await enable(t, `pg2click_${id}_${event}`)).toBe('done');
      expect(await enabled(t, `pg2click_${id}_${event}`)).toBe(letter);
    });

    it("refuses a trigger of the user's, one of ours by name only, and one of ours that calls another of our functions", async () => {
      const t = await make();
      await admin.query(`create function shop.${t}() returns trigger language plpgsql as 'begin return null; end';
        create trigger theirs after insert on shop.${t} execute function shop.${t}();
        create trigger pg2click_77_insert after insert on shop.${t} execute function shop.${t}()`);
      await our.query(`create or replace function pg2click.capture_78_delete() returns trigger language plpgsql as 'begin return null; end';
        create or replace function pg2click.other() returns trigger language plpgsql as 'begin return null; end';
        create trigger pg2click_78_insert after insert on shop.${t} execute function pg2click.capture_78_delete();
        create trigger pg2click_other after insert on shop.${t} execute function pg2click.other()`);
      for (const trigger of ['theirs', 'pg2click_77_insert', 'pg2click_78_insert', 'pg2click_other', 'none']) {
        expect(await enable(t, trigger), trigger).toBe('42501');
        expect(await enabled(t, trigger), trigger).not.toBe(letter);
      }
    });

    it('refuses a table on which the role may make no triggers any more, and is not misled by a search path', async () => {
      const t = await make();
      const { id } = await add(t);
      await admin.query(`alter table shop.${t} disable trigger user; revoke trigger on table shop.${t} from ${role}`);
      await our
        .query(
          `create temp table pg_trigger as select * from pg_catalog.pg_trigger;
        create function pg_temp.has_table_privilege(oid, oid, text) returns boolean language sql as 'select true';
        set search_path = pg_temp, pg_catalog`,
        )
        .catch(() => undefined);
      expect(await enable(t, `pg2click_${id}_${event}`)).toBe('42501');
      await our.query('reset search_path; drop table if exists pg_temp.pg_trigger');
    });

    it('is for the role alone', async () => {
      const t = await make();
      const { id } = await add(t);
      await admin.query(`begin; create role ${role}_other; grant usage on schema shop, pg2click_admin to ${role}_other;
        set local role ${role}_other`);
      const told = await refusal(
        `select pg2click_admin.enable_${sessions}('shop.${t}'::regclass, 'pg2click_${id}_${event}')`,
        admin,
      );
      await admin.query('rollback');
      expect(told).toBe('42501');
    });
  });

  describe('does nothing for those who use the tables but write down keys', () => {
    it('they can neither call nor borrow its functions, nor read the outbox', async () => {
      const t = await make();
      const { id } = await add(t);
      const user = `${role}_user`;
      await admin.query(`begin; create role ${user}; grant all on schema shop to ${user};
        grant insert on table shop.${t} to ${user}; set local role ${user};
        insert into shop.${t} values (1); create table shop.${t}_own (id int)`);
      for (const statement of [
        `select pg2click.capture_${id}_insert()`,
        `create trigger borrowed after insert on shop.${t}_own execute function pg2click.capture_${id}_insert()`,
        `select * from pg2click.outbox_${id}`,
      ]) {
        await admin.query('savepoint tried');
        expect(await refusal(statement, admin), statement).toBe('42501');
        await admin.query('rollback to tried');
      }
      await admin.query('rollback');
    });

    // A cast, and an operator that is found in a search path, run as whoever reads the row.
    it('no cast and no operator of theirs runs as the role, nor changes a value', async () => {
      const kind = freshName('kind');
      await admin.query(`create type shop.${kind} as enum ('a'); create domain shop.${kind}_id as int;
        create function shop.spy(shop.${kind}) returns text language sql as $$select 'seen by ' || current_user$$;
        create function shop.spy_json(shop.${kind}) returns json language sql as $$select to_json('seen by ' || current_user)$$;
        create cast (shop.${kind} as text) with function shop.spy(shop.${kind});
        create cast (shop.${kind} as json) with function shop.spy_json(shop.${kind});
        create function public.spy_equal(shop.${kind}_id, int) returns boolean language plpgsql
          as $$begin raise exception 'seen by %', current_user; end$$;
        create operator public.= (leftarg = shop.${kind}_id, rightarg = int, function = public.spy_equal)`);
      const t = await make(`id shop.${kind}_id, k shop.${kind}, v shop.${kind}, primary key (id, k)`);
      const table = await add(t);
      await admin.query(`insert into shop.${t} values (1, 'a', 'a')`);
      expect(await drain(our, table)).toMatchObject([{ key: [1, 'a'], value: { id: 1, k: 'a', v: 'a' } }]);
    });

    it('no view of theirs is read under the name of a table that was dropped', async () => {
      const t = await make();
      const table = await add(t);
      await admin.query(`insert into shop.${t} values (1, 'a')`);
      const batch = await nameBatch(our, table);
      await admin.query(`drop table shop.${t};
        create function shop.${t}() returns text language plpgsql as $$begin raise exception 'seen by %', current_user; end$$;
        create view shop.${t} as select 1 as id, shop.${t}() as v`);
      const other = await connectPostgres(settings, { name: 'test' });
      await expect(batch === undefined ? undefined : readAll(other, table, batch)).rejects.toMatchObject({
        kind: 'MissingTable',
        message: `shop.${t} was dropped in PostgreSQL.`,
      });
      await other.end();
    });
  });
});

describe('the script that makes the role', () => {
  it('can be run again, and does not take a schema from another role', async () => {
    const owner = await freshDatabase('roles');
    const role = leastRoleOf(owner.database);
    await leastRole(owner);
    const admin = new pg.Client(owner);
    await admin.connect();
    await admin.query(roleScriptFor('postgres.sql', { role }));
    await admin.query('drop schema pg2click; create schema pg2click');
    await expect(admin.query(roleScriptFor('postgres.sql', { role }))).rejects.toMatchObject({
      message: expect.stringContaining('Schema pg2click belongs to the role "postgres"') as string,
    });
    await admin.query(`rollback; drop schema pg2click; alter schema pg2click_admin owner to ${role}`);
    await expect(admin.query(roleScriptFor('postgres.sql', { role }))).rejects.toMatchObject({
      message: expect.stringContaining('Schema pg2click_admin belongs to the role') as string,
    });
    await admin.end();
  });

  it('can be run by an administrator who is no superuser and owns the tables', async () => {
    const superuser = await freshDatabase('roles');
    const { database } = superuser;
    const role = leastRoleOf(database);
    const manager = `${database}_manager`;
    const top = new pg.Client(superuser);
    await top.connect();
    await top.query(
      `create role ${manager} login createrole password 'manager'; alter database ${database} owner to ${manager}`,
    );
    const admin = new pg.Client({ ...superuser, user: manager, password: 'manager' });
    await admin.connect();
    try {
      await admin.query(roleScriptFor('postgres.sql', { role }));
      await admin.query(`alter role ${role} password 'least'; create schema shop; grant usage on schema shop to ${role};
        create table shop.t (id int primary key); grant select, trigger on table shop.t to ${role}`);
      const our = await connectPostgres(settingsOf({ ...superuser, user: role, password: 'least' }), { name: 'test' });
      const table = await replicate(our, { schema: 'shop', table: 't' });
      await admin.query('insert into shop.t values (1)');
      expect(await drain(our, table)).toHaveLength(1);
      await our.end();
    } finally {
      await admin.end();
      await top.query(`alter database ${database} owner to ${superuser.user}; drop owned by ${role}, ${manager} cascade;
        drop role ${role}, ${manager}`);
      await top.end();
    }
  });

  it('of an administrator who is no member of a table owner: his lack is named with the grant, and that is enough', async () => {
    const superuser = await freshDatabase('roles');
    const { database } = superuser;
    const role = leastRoleOf(database);
    const [manager, shop] = [`${database}_manager`, `${database}_shop`];
    const top = new pg.Client(superuser);
    await top.connect();
    await top.query(`create role ${manager} login createrole password 'manager'; create role ${shop};
      alter database ${database} owner to ${manager}`);
    const manages = new pg.Client({ ...superuser, user: manager, password: 'manager' });
    await manages.connect();
    try {
      await manages.query(roleScriptFor('postgres.sql', { role }));
      await manages.query(`alter role ${role} password 'least'`);
      await top.query(`create table t (id int primary key); alter table t owner to ${shop};
        grant select, trigger on table t to ${role}`);
      const our = await connectPostgres(settingsOf({ ...superuser, user: role, password: 'least' }), { name: 'test' });
      const table = { schema: 'public', table: 't' };
      await expect(inspectTable(our, table)).rejects.toMatchObject({
        kind: 'Unauthorized',
        message: expect.stringContaining(`The administrator's role "${manager}"`) as string,
        remedy: expect.stringContaining(`grant "${shop}" to "${manager}"`) as string,
      });
      await top.query(`grant "${shop}" to "${manager}"`);
      const added = await replicate(our, table);
      await top.query('insert into t values (1)');
      expect(await drain(our, added)).toHaveLength(1);
      await our.end();
    } finally {
      await manages.end();
      await top.query(`alter database ${database} owner to ${superuser.user}; drop owned by ${role}, ${manager}, ${shop} cascade;
        drop role ${role}, ${manager}, ${shop}`);
      await top.end();
    }
  });
});
