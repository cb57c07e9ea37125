#include "tests/simulation/migrations.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "log/check.h"

namespace assay {
namespace {

const TableName kLines{"public", "lines"};
constexpr uint32_t kLine = 1;  // Column of public.lines.

std::set<std::string> Lines(int until) {
  std::set<std::string> lines;
  for (int line = 1; line <= until; ++line) lines.insert(absl::StrCat(line));
  return lines;
}

absl::Status Altered(bool done) {
  return done ? absl::OkStatus() : absl::AbortedError("somebody works with the table");
}

}  // namespace

Migrations::Migrations(SeededRandom* random, uint32_t branches) : done_(branches) {
  const std::vector<Change> sets[] = {
      {Change::kWiderNumber},  {Change::kNumberToText}, {Change::kNumberToText, Change::kTextToNumber},
      {Change::kShorterNote},  {Change::kNoteAnew},     {Change::kNoteRenamed},
      {Change::kKeyElsewhere}, {Change::kKeyType},      {Change::kPartitions},
  };
  std::vector<uint32_t> weights(std::size(sets), 1);
  for (uint64_t count = 1 + random->Below(3); count > 0; --count) {
    const size_t drawn = random->Weighted(weights);
    weights[drawn] = 0;
    changes_.insert(changes_.end(), sets[drawn].begin(), sets[drawn].end());
  }
  const auto has = [this](Change change) { return std::count(changes_.begin(), changes_.end(), change) > 0; };
  // Nobody can tell whose a value under the second name is; and one of a type that fits counts as the same column.
  if (has(Change::kNoteAnew)) {
    std::erase(changes_, Change::kNoteRenamed);
    std::erase(changes_, Change::kShorterNote);
  }
  for (uint32_t i = 0; i < branches; ++i) partitioned_.push_back(random->Chance(50));
}

void Migrations::CreateTables(uint32_t number, SimDatabase* database) const {
  database->CreateTable(
      {kShopPrices, {{"id", "text", true}, {"uid", "text", true}, {"amount", "integer"}, {"note", "text"}}, {0}}, {});
  const bool later = std::count(changes_.begin(), changes_.end(), Change::kPartitions) > 0;
  if (partitioned_[number - 1]) database->PartitionBy(kLines, kLine, Lines(later ? 2 : 12));
}

bool Migrations::KeyMoves() const { return std::count(changes_.begin(), changes_.end(), Change::kKeyElsewhere) > 0; }

std::string Migrations::ToString() const {
  return absl::StrJoin(changes_, ", ",
                       [](std::string* out, Change change) { *out += kNames[static_cast<int>(change)]; });
}

bool Migrations::RunNext(uint32_t number, SimDatabase* database) {
  size_t& done = done_[number - 1];
  if (done == changes_.size()) return false;
  const absl::Status status = Run(changes_[done], database);
  ASSAY_CHECK(status.ok() || absl::IsAborted(status));
  if (status.ok()) ++done;
  return status.ok();
}

absl::Status Migrations::Run(Change change, SimDatabase* database) {
  switch (change) {
    case Change::kWiderNumber:
      return database->AlterType(kShopPrices, "amount", "bigint");
    case Change::kNumberToText:
      return database->AlterType(kShopPrices, "amount", "text");
    case Change::kTextToNumber:
      return database->AlterType(kShopPrices, "amount", "integer");
    case Change::kShorterNote:
    case Change::kNoteAnew:
    case Change::kNoteRenamed: {
      const std::vector<TableColumn>& columns = database->Find(kShopPrices)->shape->columns;
      const std::string note = columns.back().name;  // Whatever it is called by now.
      if (change == Change::kShorterNote) return database->AlterType(kShopPrices, note, "character varying(200)");
      if (change == Change::kNoteRenamed) return Altered(database->RenameColumn(kShopPrices, note, "remark"));
      if (!database->DropColumn(kShopPrices, note)) return Altered(false);
      return Altered(database->AddColumn(kShopPrices, {note, "integer"}));
    }
    case Change::kKeyElsewhere:
      return database->SetKey(kShopPrices, {"uid"});
    case Change::kKeyType:
      return database->AlterType(kShopPrices, "id", "integer");
    case Change::kPartitions: {
      const SimTable& lines = *database->Find(kLines);
      if (!lines.partitions.empty()) database->PartitionBy(kLines, kLine, Lines(12));
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

}  // namespace assay
