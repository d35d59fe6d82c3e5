# Which PostgreSQL to use, and installing what is missing, with apt-get. Sourced
# by scripts/demo and scripts/test, after common.sh.
# shellcheck shell=bash
# Names that common.sh defines:
# shellcheck disable=SC2154

readonly cluster_settings=/etc/postgresql-common/createcluster.d
readonly cluster_setting=$cluster_settings/pg_fernet-no-cluster.conf
cluster_setting_made=
service_policy=
package_lists_read=

# is_installed PACKAGE asks dpkg for the package, or one that says to provide it:
# the nodejs of NodeSource is npm as well, and refuses Debian's beside it.
is_installed() {
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]] ||
    [[ $(dpkg-query -W -f='${db:Status-Status} ${Provides},\n' 2>/dev/null |
      grep -cE "^installed (.* )?${1//+/\\+}(,| \\()") -gt 0 ]]
}

# apt runs apt-get without a question, and shows its output only if it fails.
apt() {
  as_admin env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
    apt-get -q -y -o DPkg::Lock::Timeout=600 "$@" \
    </dev/null >>"$log/apt-get.log" 2>&1
}

# read_package_lists is "apt-get update", once. It goes on after an error of a
# third-party source: the packages may be found without it.
read_package_lists() {
  [[ -z $package_lists_read ]] || return 0
  package_lists_read=yes
  printf 'Reading the package lists ...\n'
  apt update || printf 'apt-get update had errors; going on.\n'
}

# install_packages PACKAGE... installs those that are missing.
install_packages() {
  local package known missing=()
  # Most are installed, and to ask for each on its own would take seconds.
  known=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
  for package; do
    [[ $'\n'$known$'\n' == *$'\n'"installed $package"$'\n'* ]] ||
      is_installed "$package" || missing+=("$package")
  done
  ((${#missing[@]} > 0)) || return 0
  command -v apt-get >/dev/null ||
    die "missing: ${missing[*]}" "They can be installed on Debian only."
  read_package_lists
  printf 'Installing %s ...\n' "${missing[*]}"
  if ! apt install --no-install-recommends "${missing[@]}"; then
    tail -n 30 "$log/apt-get.log" >&2
    die "apt-get could not install: ${missing[*]}"
  fi
}

# forbid_cluster keeps the package of a server from making and starting a
# cluster "main". postgresql-common must be there already, whose setting it is.
forbid_cluster() {
  if [[ -d $cluster_settings ]]; then
    cluster_setting_made='file'
  else
    cluster_setting_made='folder'
    as_admin mkdir "$cluster_settings"
  fi
  printf 'create_main_cluster = false\n' |
    as_admin tee "$cluster_setting" >/dev/null
}

# allow_cluster removes that setting.
allow_cluster() {
  [[ -n $cluster_setting_made ]] || return 0
  as_admin rm -f "$cluster_setting"
  [[ $cluster_setting_made != folder ]] ||
    as_admin rmdir --ignore-fail-on-non-empty "$cluster_settings"
  cluster_setting_made=
}

# installed_majors PATH prints the versions whose folder has PATH, newest first.
installed_majors() {
  local file
  for file in /usr/lib/postgresql/*/"$1"; do
    [[ -e $file ]] || continue
    file=${file#/usr/lib/postgresql/}
    printf '%s\n' "${file%%/*}"
  done | sort -rn
}

# usable_major prints the newest installed version that has a server and what
# extensions are built with, or failing that, the newest with a server.
usable_major() {
  local major
  for major in $(installed_majors lib/pgxs/src/makefiles/pgxs.mk) \
    $(installed_majors bin/postgres); do
    if [[ -x /usr/lib/postgresql/$major/bin/postgres ]]; then
      printf '%s\n' "$major"
      return
    fi
  done
}

# debian_major prints the version that the package postgresql stands for.
debian_major() {
  apt-cache --no-all-versions show postgresql 2>/dev/null |
    sed -n 's/^Depends:.*postgresql-\([0-9][0-9]*\).*/\1/p'
}

# install_postgres picks a PostgreSQL, installs it if it is Debian's, and sets
# PG_CONFIG: the one that PG_CONFIG names, else the newest that is there, else
# Debian's.
install_postgres() {
  local major=''
  if [[ -n ${PG_CONFIG:-} ]]; then
    # Debian's folder, with or without the package.
    if [[ $PG_CONFIG =~ ^/usr/lib/postgresql/([0-9]+)/bin/pg_config$ ]]; then
      major=${BASH_REMATCH[1]}
    elif [[ ! -x $PG_CONFIG ]]; then
      die "PG_CONFIG names no program: $PG_CONFIG"
    fi
  else
    major=$(usable_major)
    if [[ -z $major ]]; then
      read_package_lists
      major=$(debian_major)
    fi
    [[ -n $major ]] || die "no package postgresql is known here" \
      "Name an installed PostgreSQL: PG_CONFIG=/path/to/pg_config $0"
  fi

  if [[ -n $major ]]; then
    if ! is_installed "postgresql-$major"; then
      install_packages postgresql-common
      forbid_cluster
    fi
    install_packages "postgresql-$major" "postgresql-server-dev-$major"
    allow_cluster
    PG_CONFIG=/usr/lib/postgresql/$major/bin/pg_config
  fi
  [[ -e $("$PG_CONFIG" --pgxs) ]] ||
    die "this PostgreSQL has nothing to build extensions with: $PG_CONFIG"
  # The program may be a wrapper, as Debian's /usr/bin/pg_config.
  PG_CONFIG=$("$PG_CONFIG" --bindir)/pg_config
  export PG_CONFIG
}

# install_quietly PACKAGE installs a package of a service without its starting
# one: for that moment a policy of ours forbids it, unless the machine has one.
install_quietly() {
  local policy=/usr/sbin/policy-rc.d
  is_installed "$1" && return 0
  if [[ -e $policy ]]; then
    install_packages "$1"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' | as_admin tee "$policy" >/dev/null
  as_admin chmod +x "$policy"
  service_policy=$policy
  install_packages "$1"
  allow_services
}

# allow_services removes the policy.
allow_services() {
  [[ -n $service_policy ]] || return 0
  as_admin rm -f "$service_policy"
  service_policy=
}
