# shellcheck shell=bash
# In pieces, so that the check does not find them here.
slash=/ key=PRIVATE mark='<<<<'
for folder in work root home/planted; do
  plant "src/pg/newroom/${folder%%/*}.txt" <<<"${slash}$folder/file"
  expect "src/pg/newroom/${folder%%/*}.txt:1:"
done
plant src/pg/newroom/planted.pem <<<"-----BEGIN EC $key KEY-----"
plant src/pg/newroom/merged.txt <<<"$mark<<< HEAD"
plant src/pg/newroom/planted.o <<<'generated'
plant src/pg/newroom/planted.d <<<'generated'
plant src/pg/newroom/__pycache__/planted <<<'generated'
printf '/src/pg/newroom/ignored\n' >>.gitignore
plant src/pg/newroom/ignored <<<'ignored'
expect '  These are paths of one machine' 'src/pg/newroom/planted.pem:1:' \
  '  Private keys stay outside' 'src/pg/newroom/merged.txt:1:' \
  '  A merge left these lines' 'src/pg/newroom/planted.[o]$' \
  'src/pg/newroom/planted.[d]$' 'src/pg/newroom/__pycache__/planted$' \
  '  These files are generated' 'src/pg/newroom/ignored$' \
  '  .gitignore excludes these files'
must_fail

rm -rf .git
expect 'This is no git working tree'
must_fail
