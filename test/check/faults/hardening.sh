# shellcheck shell=bash
cat >planted.c <<'CODE'
int planted;
int *where_it_is __attribute__((section(".planted,\"ax\",@progbits#"))) = &planted;
int both __attribute__((section(".both,\"awx\",@progbits#"))) = 1;
CODE
cat >pg_config <<'END_OF_SCRIPT'
#!/bin/sh
case $1 in
  --cflags) echo -fstack-protector-strong ;;
  --ldflags) echo -Wl,-z,relro -Wl,-z,now ;;
  --libdir) echo /usr/lib ;;
esac
END_OF_SCRIPT
chmod +x pg_config
gcc -shared -fPIC -fno-stack-protector -o planted.so planted.c -Wl,-z,execstack \
  -Wl,-z,norelro -Wl,-z,lazy -Wl,-z,notext -Wl,-rpath,/opt/planted 2>planted.log ||
  cat planted.log
for words in 'asks for an executable stack' \
  'has memory that is both written and executed' 'names folders to load libraries from' \
  'changes its code while it is loaded' 'has no RELRO' 'binds symbols late' \
  'has no stack protector'; do
  expect "planted.so: $words"
done
must_fail FERNET_MODULE=planted.so PG_CONFIG=./pg_config

expect 'nothing.so: there is no built module'
must_fail FERNET_MODULE=nothing.so
