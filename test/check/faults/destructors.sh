# shellcheck shell=bash
few_sources
plant src/pg/newroom/planted.cpp <<'CODE'
namespace fernet::pg {
void Close();
struct Owner {
  ~Owner() { Close(); }
};
// Two files of one name, in two folders, are two files.
void Planted() { const Owner owner; }
}  // namespace fernet::pg
CODE
plant src/pg/newroom/deep/planted.cpp <<'CODE'
namespace fernet::pg {
void Nothing() {}
}  // namespace fernet::pg
CODE
expect 'src/pg/newroom/planted.cpp: fernet::pg::Planted\(\)' \
  '  destroys something: fernet::pg::Owner::~Owner\(\)'
must_fail

git mv src/pg/module.cpp src/pg/module.cc
git rm -qf src/pg/newroom/planted.cpp
expect 'src/pg/module.cpp: is not looked at'
must_fail

plant src/pg/newroom/planted.cpp <<'CODE'
This does not compile.
CODE
expect '  Compile with "make" first'
must_fail
