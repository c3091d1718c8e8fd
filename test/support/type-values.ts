/** What the types below need, in a schema that is not in the search path of the product's sessions. */
export const MAKE_TYPES = `
  create type mood as enum ('fine', 'it''s "so\\so"', E'Ünd\\ttab');
  create domain positive as int check (value > 0);
  create domain price as numeric(10,2);
  create domain tags as text[];
  create domain feeling as mood;
  create type address as (street text, number int);
  create domain home as address;
  create type floatrange as range (subtype = float8);
  create extension citext; create extension hstore; create extension ltree; create extension cube; create extension seg;
  create extension isn; create extension lo;
  create domain email as citext`;

/** By type: the values that are hard on the way, as PostgreSQL reads them. Every one is stored exactly. */
export const VALUES: Readonly<Record<string, readonly string[]>> = {
  bigint: ['0', '-9223372036854775808', '9223372036854775807', '9007199254740993'],
  integer: ['-2147483648', '2147483647'],
  smallint: ['-32768', '32767'],
  boolean: ['true', 'false'],
  text: [
    '',
    'a',
    '\\N',
    '\\',
    '"quoted"',
    `it's`,
    'tab\t, newline\n, return\r',
    '\b\f\v\u0001\u007f',
    'null',
    'ÄÖ€🐘',
    '\u2028',
    '\\u0000',
  ],
  'varchar(10)': ['', '  blanks  ', '€€€€€€€€€€'],
  'character varying': ['x'.repeat(70_000)],
  'char(5)': ['', 'a', ' ab  ', '€€€€€', 'a\u00a0'],
  bpchar: ['', 'a', 'a  '],
  '"char"': ['a', '\\200', ''],
  name: ['pg_class', 'Ünï "x"'],
  'double precision': ['0', '-0', '0.1', '1e-320', '1.7976931348623157e+308', '5e-324', '123456789.123456789'],
  real: ['0.1', '-0', '3.4028235e+38', '1e-45', '16777217'],
  'numeric(10,2)': ['0.00', '99999999.99', '-99999999.99', '1.50', '0.1'],
  'numeric(76,38)': [`-${'9'.repeat(38)}.${'9'.repeat(38)}`, `0.${'0'.repeat(37)}1`],
  'numeric(5,5)': ['0.12345'],
  'numeric(3,-2)': ['12345', '-99900', '0'],
  'numeric(3,5)': ['0.00123', '-0.00999'],
  'numeric(100,50)': [`${'9'.repeat(50)}.${'9'.repeat(50)}`, '0'],
  numeric: ['0', '1.50', '1.5', 'NaN', 'Infinity', '-Infinity', '1e400', `-0.${'0'.repeat(300)}1`],
  money: ['0', '-92233720368547758.08', '92233720368547758.07', '12.34'],
  date: ['1900-01-01', '1969-12-31', '2024-02-29', '2299-12-31'],
  timestamp: [
    '1900-01-01 00:00:00',
    '1969-12-31 23:59:59.5',
    '2024-01-01 12:00:00.000001',
    '2299-12-31 23:59:59.999999',
  ],
  timestamptz: [
    '1900-01-01 00:00:00+00',
    '1969-12-31 23:59:59.999999+00',
    '2024-07-01 02:30:00+02',
    '2299-12-31 23:59:59.999999+00',
  ],
  time: ['00:00:00', '23:59:59.999999', '24:00:00'],
  timetz: ['00:00:00+00', '24:00:00-15:59', '12:00:00.5+05:30'],
  interval: [
    '0',
    '1 year 2 mons -3 days 04:05:06.789',
    '-1 day +02:03:00',
    '178000000 years',
    '1 mon',
    '30 days',
    'infinity',
    '-infinity',
  ],
  uuid: ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '00000000-0000-0000-0000-000000000000'],
  json: [
    '{"b": 1,\n\t"a" : [1, 2.50, "\\u00e9\\n\\\\"]}',
    '"text"',
    'null',
    '1.10',
    '"\\u0000"',
    '"\\ud800"',
    '{"a":1,"a":2}',
  ],
  jsonb: ['{"a": "line\\nbreak \\"q\\" \\\\"}', '[]', '12345678901234567890.10', 'null', '1e400'],
  jsonpath: ['$."a"[*]?(@ > 1)'],
  mood: ['fine', `it's "so\\so"`, 'Ünd\ttab'],
  positive: ['1', '2147483647'],
  price: ['1.50', '-99999999.99'],
  tags: ['{}', '{a,NULL,"b c"}'],
  feeling: ['fine'],
  bytea: ['\\x', '\\x00ff5c0a09', '\\xdeadbeef'],
  'bit(3)': ['101', '000'],
  'bit varying': ['', '1', '010101'],
  xml: ['<a>ü &amp; \n</a>', '<?xml version="1.0" encoding="UTF-8"?><r/>', 'text'],
  tsvector: [`'a':1A 'b''c':2,3B`, '', `'\\\\x' 'tab\t'`],
  tsquery: [`'a' & !( 'b' | 'c':*A )`, ''],
  inet: ['1.2.3.4', '1.2.3.4/24', '::1', '2001:db8::/32', '::ffff:1.2.3.4', '0.0.0.0/0'],
  cidr: ['10.0.0.0/8', '1.2.3.4/32', '::/0'],
  macaddr: ['08:00:2b:01:02:03'],
  macaddr8: ['08:00:2b:01:02:03:04:05'],
  point: ['(1.5,-0)', '(NaN,Infinity)', '(1e300,1e-300)', '(0.1,0.30000000000000004)'],
  line: ['{1,2,3}'],
  lseg: ['[(0,0),(1,1)]'],
  box: ['(1,1),(0,0)'],
  path: ['[(0,0),(1,1)]', '((0,0),(1,1))'],
  polygon: ['((0,0),(1,1),(1,0))'],
  circle: ['<(0,0),1.5>'],
  oid: ['0', '4294967295'],
  xid: ['4294967295'],
  cid: ['7'],
  xid8: ['0', '18446744073709551615'],
  pg_lsn: ['0/0', 'FFFFFFFF/FFFFFFFF'],
  tid: ['(4294967295,65535)'],
  pg_snapshot: ['10:20:10,14'],
  txid_snapshot: ['10:20:10,14'],
  regclass: ['pg_class', '4294967295', '-'],
  regproc: ['pg_catalog.enum_out'],
  regprocedure: ['lower(text)'],
  regtype: ['integer', 'timestamp with time zone', 'mood'],
  regrole: ['pg_monitor'],
  regnamespace: ['pg_catalog'],
  int4range: ['empty', '[1,5)', '(,)', '[,7)'],
  numrange: ['[1.0,2.50]'],
  daterange: ['[2024-01-01,infinity)', '(-infinity,)'],
  tsrange: ['["0044-03-15 10:00 BC",infinity]'],
  tstzrange: ['["2024-01-01 00:00:00+02",)'],
  int4multirange: ['{}', '{[1,2),[5,7)}'],
  tstzmultirange: ['{[2024-01-01 00:00+02,2024-02-01 00:00+02)}'],
  floatrange: ['[0.1,0.30000000000000004)'],
  'integer[]': ['{}', '{1,2,NULL}', '[0:1]={1,2}', '{{1,2},{3,4}}', '[-1:0][5:6]={{1,2},{3,NULL}}'],
  'text[]': ['{}', '{a,"b c","",NULL,"NULL","x\\\\y","q\\"q","a,b","tab\t","ü{}"}'],
  'boolean[]': ['{t,f}'],
  'bytea[]': ['{"\\\\x00ff"}'],
  'numeric[]': ['{1.50,NaN,Infinity}'],
  'double precision[]': ['{0.1,-0,NaN}'],
  'date[]': ['{infinity,2024-01-01,"0044-03-15 BC"}'],
  'timestamptz[]': ['{"2024-07-01 02:30:00+02"}'],
  'interval[]': ['{"1 mon","-3 days"}'],
  'jsonb[]': ['{"{\\"a\\": 1}",null}'],
  'mood[]': ['{fine,"it\'s \\"so\\\\so\\""}'],
  address: ['("Main St",12)', '(,)', '("",)', '("a""b\\\\",1)'],
  home: ['("Main St",)'],
  'address[]': ['{"(\\"Main St\\",12)","(,)",NULL}'],
  citext: ['A', 'a', ''],
  email: ['Me@example.invalid'],
  hstore: ['a=>1,"b c"=>NULL', ''],
  ltree: ['a.b.c', ''],
  lquery: ['*.b{1,2}'],
  cube: ['(1,2),(3,4)'],
  seg: ['1.50 .. 2'],
  isbn13: ['978-0-393-04002-9'],
  lo: ['16384'],
  int2vector: ['1 2 3'],
  oidvector: ['1 2'],
  refcursor: ['c'],
};

/** Values that ClickHouse would change and say nothing, or has no place for. */
export const OUTSIDE: Readonly<Record<string, readonly string[]>> = {
  date: ['1899-12-31', '2300-01-01', 'infinity', '-infinity', '0044-03-15 BC', '5874897-12-31'],
  timestamp: [
    '1899-12-31 23:59:59.999999',
    '2300-01-01',
    'infinity',
    '-infinity',
    '0044-03-15 10:00 BC',
    '294276-12-31',
  ],
  timestamptz: [
    '1899-12-31 23:59:59.999999+00',
    '2300-01-01 00:00:00+00',
    'infinity',
    '-infinity',
    '0044-03-15 10:00+00 BC',
  ],
  'numeric(10,2)': ['NaN'],
};

/** Types whose values are printed in two ways, by either server: a notation of both. */
export function normal(type: string, text: string | null): unknown {
  if (text === null) return null;
  if (type === 'double precision' || type === 'real') return Object.is(Number(text), -0) ? '-0' : Number(text);
  if (/^(?:numeric\(|price|money)/u.test(type)) return text.includes('.') ? text.replace(/\.?0+$/u, '') : text;
  if (type === 'timestamp' || type === 'timestamptz')
    return text.replace(/\+00$/u, '').replace(/(?:\.\d*?)0+$/u, (tail) => tail.replace(/\.?0+$/u, ''));
  return text;
}
