# shellcheck shell=bash
plant META.json <<'JSON'
{
  "name": "a b", "version": "1.0", "abstract": "", "license": "planted",
  "provides": {"/": {"version": "x", "file": "sql/planted.sql", "planted": 1}},
  "meta-spec": {"version": "2.0.0", "url": "https://example.org/"},
  "prereqs": {"planted": {}, "build": {"planted": {}, "requires": {"a": "many"}}},
  "release_status": "planted", "tags": ["/"], "planted": 1,
  "resources": {"homepage": "planted", "planted": 1, "bugtracker": {}, "repository": {}},
  "no_index": {"file": "planted"}
}
JSON
for words in '"maintainer" is missing' '"planted" is no key of the specification' \
  '"name" is no name' '"version" is no semantic version' '"abstract" is empty' \
  '"maintainer" is empty' '"license" is none' '"/" in "provides" is no name' \
  'the version of "/"' '"file" of "/" is no file' '"planted" of "/" is no key' \
  '"meta-spec" is of another version' '"planted" is no phase' \
  '"planted" is no relation' '"a" has no range' '"release_status" is none' \
  '"meta-spec" has another address' 'no tag: "/"' '"homepage" is no address' \
  '"bugtracker" has neither' '"repository" has neither' \
  '"planted" is no key of the specification there' '"no_index" names no file'; do
  expect "META.json: $words"
done
must_fail

rm META.json
expect 'META.json: .*No such file'
must_fail
