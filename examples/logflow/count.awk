# SPDX-License-Identifier: Apache-2.0
# The report of logflow once more, by other means: one pass of awk, to be compared with what the pipeline says.
#     tr '\000' '\001' < access.log | LC_ALL=C awk -v top=10 -f count.awk
# Lines that end a parser are told apart by what they contain.
BEGIN {
    good = "^[^ ]+ [^ ]+ [^ ]+ \\[[^]]+\\] \"[A-Z]+ /[^ \"]* HTTP/[0-9]\\.[0-9]\" " \
           "[1-5][0-9][0-9] (-|[0-9]+)( \"[^\"]*\" \"[^\"]*\")?$"
}
{
    lines++
    if (index($0, "\001CRASH")) { lost++; next }
    if (length($0) > 8192 || $0 ~ /[\001-\037]/ || $0 !~ good) { malformed++; next }
    request = substr($0, index($0, "] \"") + 3)
    answer = substr(request, index(request, "\"") + 2)
    split(request, word, " ")
    split(answer, number, " ")
    path = word[2]
    sub(/\?.*/, "", path)
    size = number[2] == "-" ? 0 : number[2]
    if (length(path) > 2048 || length(size) > 15) { malformed++; next }
    bytes += size
    status[number[1]]++
    if (number[1] >= 500) errors++
    if (!(path in requests)) paths++
    requests[path]++
    sent[path] += size
    unit = 1
    while (int(size / unit) >= 128) unit *= 2
    sizes[int(size / unit) * unit]++
    ok++
}
END {
    printf "lines %d\nmalformed %d\nlost %d\nbytes %.0f\nserver errors %d\n", \
           lines, malformed, lost, bytes, errors
    for (code = 100; code < 600; code++) if (code in status) printf "status %d %d\n", code, status[code]
    count = 0
    for (size in sizes) order[++count] = size + 0
    for (i = 2; i <= count; i++) {    # few hundred: sorted by insertion
        x = order[i]
        for (j = i - 1; j > 0 && order[j] > x; j--) order[j + 1] = order[j]
        order[j + 1] = x
    }
    split("50 90 99 100", percent, " ")
    for (p = 1; p <= 4; p++) {
        seen = at = 0
        for (i = 1; i <= count; i++) {
            seen += sizes[order[i]]
            if (seen * 100 >= ok * percent[p]) { at = order[i]; break }
        }
        printf "size %d%% %.0f\n", percent[p], at
    }
    printf "paths %d\n", paths
    fflush()    # what sort writes comes behind it
    sort = "LC_ALL=C sort -k2,2nr -k4,4 | head -n " top
    for (path in requests) printf "top %d %.0f %s\n", requests[path], sent[path], path | sort
    close(sort)
}
