#!/usr/bin/env bash
# Runs one command of caps as code: annotations into the log, Markdown into the summary and a file for a comment, and
# outlay's own exit code as that of the step.
set -uo pipefail

comment="$RUNNER_TEMP/outlay-comment.md"
read -r -a args <<<"$CAPS_ARGS"

case "$CAPS_COMMAND" in
  plan | drift | apply) files=(-f "$CAPS_FILES") ;;
  validate) files=("$CAPS_FILES") ;;
  *)
    echo "::error::There is no command '$CAPS_COMMAND': use plan, apply, drift or validate."
    exit 64
    ;;
esac

# Markdown first, and once: an apply is not repeated to be shown in another form.
outlay "$CAPS_COMMAND" "${files[@]}" ${args[@]+"${args[@]}"} --output markdown >"$comment" 2>"$comment.err"
code=$?
cat "$comment.err" >&2
if [ -s "$comment.err" ]; then
  # What is on standard error is why it failed; a comment without it would look like a plan.
  { printf '\n```text\n'; cat "$comment.err"; printf '```\n'; } >>"$comment"
fi

# Where a line of a file is to blame, it is shown beside the line. These commands change nothing.
if [ "$CAPS_COMMAND" = apply ] || [ "$code" = 64 ]; then
  cat "$comment"
else
  outlay "$CAPS_COMMAND" "${files[@]}" ${args[@]+"${args[@]}"} --output github || true
fi

cat "$comment" >>"$GITHUB_STEP_SUMMARY"
changes=false
if [ "$code" = 2 ]; then changes=true; fi
{
  echo "exit-code=$code"
  echo "has-changes=$changes"
  echo "comment-file=$comment"
} >>"$GITHUB_OUTPUT"

if [ "$code" = 2 ]; then
  case "${CAPS_FAIL_ON_CHANGES:-}" in
    true) ;;
    false) exit 0 ;;
    *) if [ "$CAPS_COMMAND" = plan ]; then exit 0; fi ;;
  esac
fi
exit "$code"
