# shellcheck shell=bash
edit scripts/lib/git.sh 's/-c core\.fsmonitor=false//'
edit scripts/lib/private-server.sh 's/^list_tree\(\) \{/&\n  return 0/'
expect 'the repository of the tree: its program ran' \
  'a repository around the archive: the files of the tree are not listed'
must_fail
