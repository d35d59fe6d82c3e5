# Building the peers of test/interop: programs in other languages, of libraries
# that Debian and the npm registry have. Sourced by scripts/test, after common.sh
# and deps.sh.
# shellcheck shell=bash
# Names that common.sh and private-server.sh define, and that scripts/test uses:
# shellcheck disable=SC2154,SC2034

readonly interop_peers=(python go rust npm)

# The packages of each peer.
declare -rA interop_packages=(
  [python]=python3-cryptography
  [go]='golang-go golang-github-fernet-fernet-go-dev'
  [rust]='cargo rustc librust-fernet-dev'
  [npm]=''
)

# install_peer NAME gets what a peer is built of.
install_peer() {
  # The list is of words.
  # shellcheck disable=SC2086
  install_packages ${interop_packages[$1]}
  # Node.js may have come from elsewhere, and bring npm with it.
  if [[ $1 == npm && ! (-x /usr/bin/node && -x /usr/bin/npm) ]]; then
    install_packages nodejs npm
  fi
}

# build_peer NAME builds a peer in the copy; its program goes to $interop_build.
build_peer() {
  local -r source=$tree/test/interop/peers/$1
  case $1 in
    python) ;;
    go)
      # Debian has the sources of libraries where GOPATH was once usual.
      as_owner env -C "$source" GO111MODULE=off GOPATH=/usr/share/gocode \
        GOCACHE="$interop_build/go-cache" go build -o "$interop_build/go-peer" .
      ;;
    rust)
      # Debian's sources instead of those of crates.io.
      as_owner env -C "$source" CARGO_HOME="$interop_build/cargo" \
        CARGO_TARGET_DIR="$interop_build/rust" cargo build --release --offline \
        --config 'source.crates-io.replace-with="debian"' \
        --config 'source.debian.directory="/usr/share/cargo/registry"'
      ;;
    npm)
      as_owner cp -r "$source" "$interop_build/npm" &&
        as_owner env -C "$interop_build/npm" \
          npm_config_cache="$interop_build/npm-cache" \
          npm ci --no-audit --no-fund --ignore-scripts
      ;;
  esac
}
