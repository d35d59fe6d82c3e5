# shellcheck shell=bash
plant newroom/planted <<'CODE'
#!/bin/sh
echo $planted
CODE
plant newroom/sourced <<'CODE'
# shellcheck shell=bash
echo $planted
CODE
expect 'newroom/planted:2:.*\[SC2086\]' 'newroom/sourced:2:.*\[SC2086\]'
must_fail

rm -rf .git
expect 'test/static/shell.sh is not looked at'
must_fail
