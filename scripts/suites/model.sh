# The model of a rotation, test/model: Spin looks at everything that can happen in
# it, and must find each mistake that is planted. Sourced by scripts/test.
# shellcheck shell=bash
# Names that scripts/test and scripts/lib define, or use:
# shellcheck disable=SC2034,SC2154

packages_model='spin gcc'

tests_model() {
  "$1/test/model/check" --list
}

run_model() {
  local -r output=$log/model/output.log
  local line names status=0
  make_owned_folder "$work/model"
  mapfile -t names < <(selected model)
  as_owner "$tree/test/model/check" "$work/model" "${names[@]}" >"$output" 2>&1 ||
    status=$?
  while IFS= read -r line; do
    case $line in
      'ok '*) pass "${line#ok }" ;;
      *) fail "${line#FAILED }" ;;
    esac
  done <"$output"
  if ((status != 0 && failed[model] == 0)); then
    fail model "(exit status $status)"
  fi
}
