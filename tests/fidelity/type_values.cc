#include "tests/fidelity/type_values.h"

namespace assay::test {

const char kUserTypes[] = R"sql(
CREATE SCHEMA "Types ""of"" ours";
CREATE TYPE mood AS ENUM ('sad', 'Sad', '', 'it''s; DROP TABLE v_0; --', '{a,"b"}', 'सोना', 'NULL');
CREATE DOMAIN code AS varchar(5) NOT NULL CHECK (VALUE <> 'never');
CREATE DOMAIN codes AS code[];
CREATE TYPE "Types ""of"" ours"."Weight, net" AS ("in g" numeric(10,3), purity int, "note ""x""" text);
CREATE DOMAIN "Types ""of"" ours".positive AS numeric CHECK (VALUE > 0);
CREATE TYPE piece AS (id uuid, weight "Types ""of"" ours"."Weight, net", tags text[], mood mood);
CREATE TYPE priced AS RANGE (subtype = numeric, multirange_type_name = priced_set);
CREATE TYPE texts AS RANGE (subtype = text, collation = "C");
)sql";

const std::vector<TypeValues>& AllTypes() {
  static const auto* types = new std::vector<TypeValues>{
      {"boolean", {"t", "f"}},
      {"\"char\"", {"a", "=''::\"char\"", "'", "\\", "NULL"}},
      {"smallint", {"-32768", "32767", "0"}},
      {"integer", {"-2147483648", "2147483647", "0"}},
      {"bigint", {"-9223372036854775808", "9223372036854775807", "9007199254740993"}},
      {"numeric", {"NaN", "Infinity", "-Infinity", "1.500", "1.5", "0", "0.000", "1e-16383", "-1e131071", "0.1", "1234567890123456789.123456789",
                   "=('1' || repeat('0', 40) || '.' || repeat('9', 60))::numeric"}},
      {"numeric(12,2)", {"1.50", "-0.01", "9999999999.99", "NaN"}},
      {"numeric(3,-2)", {"12300", "-99900"}, true, "", 150000},
      {"real", {"0", "-0", "NaN", "Infinity", "-Infinity", "1e-45", "1.17549435e-38", "3.4028235e38", "0.1", "16777217"}},
      {"double precision", {"0", "-0", "NaN", "Infinity", "-Infinity", "4.9e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "0.1",
                            "0.30000000000000004", "9007199254740993"}},
      {"money", {"=(-92233720368547758.08)::numeric::money", "=92233720368547758.07::numeric::money", "=0.01::numeric::money", "=0::money"}},
      {"text", {"", "NULL", "null", "\\N", "\\.", "{}", "\"", "'", "a\tb\nc\rd\be\ff\vg", " leading and trailing ", "\\x00", "$1 %s {0} \\u0000", "नमस्ते 🪙 e\u0301 \u200d\ufeff",
                "'; DROP TABLE v_0; --", "=repeat('क', 900)", "=chr(1) || chr(127) || chr(133) || chr(1114111)"}},
      {"varchar(5)", {"", "abc  ", "🪙🪙🪙🪙🪙", "NULL"}},
      {"char(5)", {"", "a", "a b  ", "🪙"}},
      {"char", {"", "x"}},
      {"name", {"", "Mixed \"Case\"", "=repeat('n', 63)"}},
      {"bytea", {"\\x", "\\x00", "\\x5c5c27220a00ff", "\\xdeadBEEF", "=decode(repeat('00ff5c27', 1000), 'hex')"}, true},
      {"date", {"infinity", "-infinity", "4713-01-01 BC", "0044-03-15 BC", "5874897-12-31", "2024-03-04", "0001-01-01", "1582-10-10"}},
      {"time", {"00:00:00", "24:00:00", "23:59:59.999999", "12:34:56.1"}},
      {"time(0)", {"12:34:56"}},
      {"timetz", {"24:00:00+15:59:59", "00:00:00-15:59:59", "12:00:00+05:53:28", "12:00:00-07:30", "12:00:00+00"}},
      {"timestamp", {"infinity", "-infinity", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999", "2024-03-04 05:06:07.000001", "2024-02-29 24:00:00"}},
      {"timestamp(3)", {"2024-03-04 05:06:07.123"}},
      {"timestamptz", {"infinity", "-infinity", "4713-01-01 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00", "2024-03-04 05:06:07.000001+05:30",
                       "1899-12-31 23:59:59+05:53:28", "2024-11-03 01:30:00 America/New_York", "2024-11-03 01:30:00-05"}},
      {"interval", {"1 mon", "30 days", "720 hours", "-1 mons +2 days -00:00:00.000001", "178000000 years", "-178000000 years", "1 year -2 mons +3 days -04:05:06.789",
                    "0", "-0:0:1", "2147483647 days"}},
      {"interval day to second(2)", {"3 days 04:05:06.78"}},
      {"interval", {"infinity", "-infinity", "0"}, true, "", 170000},
      {"uuid", {"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"}},
      {"inet", {"192.168.0.1", "192.168.0.1/24", "192.168.0.1/32", "::1", "2001:db8::ff00:42:8329/64", "::ffff:1.2.3.4/128", "0.0.0.0/0"}},
      {"cidr", {"192.168.0.0/24", "10.0.0.1/32", "::/0", "2001:db8::/32"}},
      {"macaddr", {"08:00:2b:01:02:03", "ff-ff-ff-ff-ff-ff"}},
      {"macaddr8", {"08:00:2b:01:02:03:04:05", "08002b:010203"}},
      {"bit(3)", {"101", "000"}},
      {"bit", {"1", "0"}},
      {"varbit", {"", "0", "00", "10101010101010101", "=repeat('10', 5000)::varbit"}, true},
      {"varbit(10)", {"", "1010101010"}},
      {"pg_lsn", {"0/0", "FFFFFFFF/FFFFFFFF", "16/B374D848"}},
      {"oid", {"0", "4294967295"}, false},
      {"xid8", {"0", "18446744073709551615"}, false},
      {"pg_snapshot", {"10:20:10,14,15"}, false},
      {"tid", {"(0,1)", "(4294967295,65535)"}, false},
      {"point", {"(0,-0)", "(NaN,Infinity)", "(1e-300,0.1)"}, false},
      {"line", {"{1,-1,0.1}"}, false},
      {"lseg", {"[(1,2),(3,4)]"}, false},
      {"box", {"(3,4),(1,2)", "(0.1,0.2),(-0,0)"}, false},
      {"path", {"[(0,0),(1,1),(2,0)]", "((0,0),(1,1),(2,0))"}, false},
      {"polygon", {"((0,0),(1,1),(2,0))"}, false},
      {"circle", {"<(1,2),0.3>"}, false},
      {"json", {"{\"a\":1,  \"a\" : 2}", "{\"b\":\"\\u0000\"}", " [1.0, 1e400, -0]\n", "\"\\ud83e\\ude99\"", "null", "{}"}, false},
      {"jsonb", {"{\"a\":1,  \"a\" : 2}", "{\"n\": 1.500, \"e\": 1e400, \"z\": -0}", "[null, \"NULL\", \"\\u20b9\\n\"]", "null", "\"\"", "{\"\": {}}"}},
      {"jsonpath", {"$.\"a b\"[*] ? (@ > 1.50)"}, false},
      {"xml", {"<a b=\"c\">text &amp; <![CDATA[<x>]]></a>", "two roots <a/><b/>", "", "<?xml version=\"1.0\" standalone=\"yes\"?><a/>",
               "<!DOCTYPE a [<!ENTITY x \"y\">]><a>z</a>", "<!-- सोना -->  <a/>  "}, false},
      {"tsvector", {"'a':1A,2B 'it''s' 'सोना':3", "", "'\\\\back''s':5", "'dup':1,1,16383C"}, true},
      {"tsquery", {"'a' & !'b':*AB <2> 'it''s'", "", "'x' | ( 'y' <-> 'z' )"}, true},
      {"int[]", {"{}", "{NULL}", "{1,NULL,3}", "[0:2]={1,2,3}", "[-2:-1][5:6]={{1,2},{3,4}}", "{{{1},{2}}}"}},
      {"text[]", {"{}", "{NULL,\"NULL\",\"null\",\"\"}", "{\"a,b\",\"c\\\"d\",\"e\\\\f\",\"{g}\",\" h \"}", "[7:8]={x,y}", "{\"it's\",\"\n\",\"🪙\"}"}},
      {"bytea[]", {"{\"\\\\x00\",NULL,\"\\\\x\"}"}},
      {"boolean[]", {"{t,NULL,f}"}},
      {"numeric(8,3)[]", {"{1.500,NaN,NULL}"}},
      {"double precision[]", {"{-0,NaN,4.9e-324,NULL}"}},
      {"timestamptz[]", {"{\"2024-03-04 05:06:07+05:30\",infinity,\"0044-03-15 00:00:00+00 BC\"}"}},
      {"money[]", {"{}", "=ARRAY[1.5::numeric::money, NULL]"}},
      {"box[]", {"{(3,4),(1,2);(1,1),(0,0)}"}, false},
      {"jsonb[]", {"{\"{\\\"a\\\": [1, 2]}\",NULL,\"null\"}"}},
      {"json[]", {"{\"{\\\"a\\\":1,\\\"a\\\":2}\",NULL}"}, false},
      {"xml[]", {"{\"<a b=\\\"c\\\"/>\",NULL}"}, false},
      {"int2vector", {"1 2 3", ""}, false},
      {"oidvector", {"1 2 4294967295", ""}, false},
      {"int4range", {"empty", "[1,5)", "(,)", "(,3)", "[3,)", "[1,5]"}},
      {"numrange", {"[1.50,1.500]", "(NaN,)", "empty", "(-Infinity,Infinity]"}},
      {"tstzrange", {"[2024-03-04 05:06:07+05:30,infinity]", "(,\"0044-03-15 00:00:00+00 BC\")"}},
      {"daterange", {"[2024-03-04,2024-04-03]", "(-infinity,infinity)"}},
      {"int4multirange", {"{}", "{[1,3),[5,9)}", "{(,)}", "{(,1),[2,)}"}},
      {"tstzmultirange", {"{[2024-03-04 05:06:07+05:30,2024-04-03 00:00:00+05:30)}"}},
      {"int4range[]", {"{\"[1,5)\",empty,NULL}"}},
      {"priced", {"[1.50,2.500)", "empty"}},
      {"priced_set", {"{[1.50,2.500),[NaN,NaN]}", "{}"}},
      {"texts", {"[\"a,b\",\"c\"\"d\\\\\"]", "[\"\",\"NULL\")", "(,)"}},
      {"mood", {"sad", "Sad", "", "it's; DROP TABLE v_0; --", "{a,\"b\"}", "सोना", "NULL"}},
      {"mood[]", {"{sad,\"\",NULL,\"NULL\",\"{a,\\\"b\\\"}\"}"}},
      {"code", {"", "abc  ", "NULL", "🪙"}},
      {"codes", {"{abc,\"d  \",\"\"}", "[3:3]={x}"}},
      {"\"Types \"\"of\"\" ours\".positive", {"1.500", "0.0001", "Infinity"}},
      {"\"Types \"\"of\"\" ours\".\"Weight, net\"", {"(1.500,,)", "(,,)", "(,,\"\")", "(0.001,-5,\"a,(b)\"\"c\\\\\")", "(,,NULL)"}},
      {"piece", {"(a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,\"(1.500,22,\"\"a \"\"\"\"b\"\"\"\"\"\")\",\"{NULL,\"\"NULL\"\"}\",\"\")", "(,,,)"}, true},
      {"piece[]", {"{\"(,\\\"(1.500,22,)\\\",{},sad)\",NULL}"}, true},
      {"citext", {"Abc", "", "ŞİŞLİ straße", "NULL"}, true, "citext"},
      {"citext[]", {"{Abc,abc,NULL,\"\"}"}, true, "citext"},
      {"hstore", {"", "a=>1, \"NULL\"=>NULL, b=>\"NULL\", \"\"=>\"\"", "\"it's \\\"x\\\" =>\"=>\"\\\\\""}, true, "hstore"},
  };
  return *types;
}

}  // namespace assay::test
