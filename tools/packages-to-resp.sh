#!/bin/sh
# packages-to-resp.sh [FILE]: every package that dpkg knows as a Redis SET command, key = the package's name, value =
# its whole description, for `redis-cli --pipe`. Real data that every Debian has: names short and long, texts of
# several lines. LC_ALL=C makes length() count bytes; print, not printf, because mawk's printf cuts long strings.
set -eu
LC_ALL=C exec awk '
    function string(s) { return "$" length(s) "\r\n" s "\r\n" }
    function emit() {
        if (name != "" && description != "") print "*3\r\n" string("SET") string(name) string(description)
        name = description = ""
    }
    BEGIN { ORS = "" }
    /^$/ { emit(); next }
    /^[^ \t]/ { in_description = 0 }
    /^Package: / { name = substr($0, 10) }
    /^Description: / { description = substr($0, 14); in_description = 1; next }
    in_description { description = description "\n" $0 }
    END { emit() }
' "${1:-/var/lib/dpkg/status}"
