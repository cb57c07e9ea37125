# Holds each room's README to the room: its table names every file that is there, and none that is not. For tools/check.
#
# Reads the names of all files. A room is a folder with sources, as tests/map_test.cc has it; tests/ has none. The table
# is headed `file` or `here`. Its first column names, in backticks, a file, its stem, or a room within (`fold/`).

function folder(file) { sub(/\/[^\/]*$/, "", file); return file }
function base(file) { sub(/.*\//, "", file); return file }
function stem(file) { sub(/\.[^.\/]*$/, "", file); return file }
function read_table(room,    page, line, number, cell, name, inside) {
  page = room "/README.md"
  place[room] = page ":1"
  for (number = 1; (getline line < page) > 0; number++) {
    if (line ~ /^\| *(file|here) *\|/) { inside = 1; place[room] = page ":" number }
    if (line !~ /^\|/) inside = 0
    if (!inside) continue
    split(line, cell, "|")
    for (; match(cell[2], /`[^`]+`/); cell[2] = substr(cell[2], RSTART + RLENGTH)) {
      name = substr(cell[2], RSTART + 1, RLENGTH - 2)
      named[room "/" name] = 1
      if (!((room "/" name) in there))
        print page ":" number ": its table names " name ", which is not in " room "/; name what is there now"
    }
  }
  close(page)
}
{
  files[++count] = $0
  there[$0] = there[stem($0)] = 1
  for (name = folder($0); name ~ /\//; name = folder(name)) there[name "/"] = 1
  if ($0 ~ /\.(cc|proto|sql|sh)$/) is_room[folder($0)] = 1
}
END {
  for (i = 1; i <= count; i++) {
    file = files[i]
    room = folder(file)
    if (file ~ /^(tests\/|\.)/ || !(room in is_room)) continue
    if (file !~ /\.(h|cc|def|proto|sql|sh|awk|cmake|service)$/ || (stem(file) in done)) continue
    done[stem(file)] = 1
    if (!(room in place)) {
      place[room] = ""
      if ((room "/README.md") in there) read_table(room)
      else print file ":1: is in a room without a README; write " room "/README.md: its one job, and a table of its files"
    }
    if (place[room] && !(file in named) && !(stem(file) in named))
      print place[room] ": its table does not name " base(file) "; give it a row, or a place in one"
  }
}
