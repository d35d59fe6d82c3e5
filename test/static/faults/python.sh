# shellcheck shell=bash
plant newroom/planted.py <<'CODE'
import os
CODE
plant newroom/planted <<'CODE'
#!/usr/bin/env python3
planted()
CODE
expect 'newroom/planted.py:1:1:? .os. imported but unused' \
  "newroom/planted:2:1:? undefined name 'planted'"
must_fail

plant newroom/planted.py <<<'this is no python'
expect '  File "newroom/planted.py", line 1'
must_fail

rm -rf .git
expect 'test/docs/extract is not looked at'
must_fail
