# Holds every include to what its room's library links, and every link to the order of the layers. For tools/check.
#
# Reads rooms.txt (see rooms.cmake) from the file named by `rooms`, and `file:line:#include ...` of all sources. A file
# belongs to the target that compiles the source of its stem. A header without a source belongs to its folder's lowest
# target, which links no other of that folder.

function stem(file) { sub(/\.[^.\/]*$/, "", file); return file }
function folder(file) { return sub(/\/[^\/]*$/, "", file) ? file : "" }
function layer_of(name) { sub(/\/.*/, "", name); return layer[name] }
# Adds to seen[from, ...] what `target` links: all of it for the target itself, what is public of the others.
function reach(from, target, depth,    names, count, i) {
  count = split(links[target] (depth ? "" : " " private[target]), names, " ")
  for (i = 1; i <= count; i++) {
    if ((from, names[i]) in seen) continue
    seen[from, names[i]] = 1
    reach(from, names[i], depth + 1)
  }
}
function owner(file,    room, i, j, lowest) {
  if (stem(file) in target_of) return target_of[stem(file)]
  room = folder(file)
  for (i = 1; i <= target_count; i++) {
    if (room_of[targets[i]] != room) continue
    lowest = 1
    for (j = 1; j <= target_count; j++) {
      if (i != j && room_of[targets[j]] == room && ((targets[i], targets[j]) in seen)) lowest = 0
    }
    if (lowest) return targets[i]
  }
  return ""
}
# Where the CMake file says what a target links.
function place(target,    file, line, number) {
  file = room_of[target] "/CMakeLists.txt"
  for (number = 1; (getline line < file) > 0; number++) {
    if (line ~ ("(assay_room|target_link_libraries)\\(" target "[ )]")) { close(file); return file ":" number }
  }
  close(file)
  return file ":1"
}
BEGIN {
  # What the headers of others belong to.
  split("absl/ absl:: google/protobuf/ protobuf:: grpcpp/ gRPC:: grpc/ gRPC:: sqlite3.h SQLite:: " \
        "openssl/ OpenSSL:: zstd.h PkgConfig::ZSTD libpq-fe.h PostgreSQL:: spdlog/ spdlog:: " \
        "toml++/ tomlplusplus:: CLI/ CLI11::", table, " ")
  while ((getline line < rooms) > 0) {
    split(line, word, " ")
    if (word[1] == "layer") { layer[word[2]] = ++layer_count; order = order (order ? " <- " : "") word[2] }
    if (word[1] == "target") { targets[++target_count] = word[2]; room_of[word[2]] = word[3] }
    if (word[1] == "source" || word[1] == "generated") target_of[stem(word[3])] = word[2]
    if (word[1] == "public") links[word[2]] = links[word[2]] " " word[3]
    if (word[1] == "private") private[word[2]] = private[word[2]] " " word[3]
  }
  for (i = 1; i <= target_count; i++) reach(targets[i], targets[i], 0)
  for (i = 1; i <= target_count; i++) {
    from = targets[i]
    if ((from, from) in seen) print place(from) ": " from " links itself, by way of others; cut the circle"
    count = split(links[from] " " private[from], names, " ")
    for (j = 1; j <= count; j++) {
      if (names[j] in room_of && layer_of(room_of[names[j]]) > layer_of(room_of[from]))
        print place(from) ": " from " links " names[j] ", which stands above it (" order \
              "); let an interface of " room_of[from] "/ say what is needed"
    }
  }
}
{
  split($0, part, ":")
  file = part[1]
  where = file ":" part[2]
  from = owner(file)
  match($0, /[<"][^>"]*/)
  included = substr($0, RSTART + 1, RLENGTH - 1)
  for (i = 1; i in table; i += 2) {
    if (index(included, table[i]) != 1) continue
    allowed = 0
    for (key in seen) {
      split(key, pair, SUBSEP)
      if (pair[1] == from && index(pair[2], table[i + 1]) == 1) allowed = 1
    }
    if (!allowed && from != "")
      print where ": includes " included ", and " from " links nothing of " table[i + 1] \
            "; leave it to a room that does, or link it in " room_of[from] "/CMakeLists.txt"
    next
  }
  # Brackets find our own files too: what begins with a folder of the tree's is held to the same.
  if (substr($0, RSTART, 1) == "<" && !(layer_of(included) || included ~ /^(sql|tests)\//)) next
  if (from == "" && folder(file) ~ /\//) {
    print where ": is in no room, so nobody knows what it may include; give its folder a library, or move it to one"
    next
  }
  if (included !~ /\//) {
    print where ": includes \"" included "\" without its folder; name it from the root"
    next
  }
  to = owner(included)
  if (to == from && to != "") next
  if (to == "") {
    if (layer_of(included) && layer_of(included) <= layer_of(file) && folder(included) !~ /\//) next
    print where ": includes " included ", which is in no room below; what ships needs nothing from there"
  } else if (from == "" && layer_of(included) > layer_of(file)) {
    print where ": includes " included ", which stands above it (" order "); let an interface say what is needed"
  } else if (from != "" && !((from, to) in seen)) {
    print where ": includes " included " of " to ", which " from " does not link; " \
          (layer_of(included) > layer_of(file) ? "it stands above (" order ")" \
                                             : "link it in " room_of[from] "/CMakeLists.txt") \
          ", or let an interface say what is needed"
  }
}
