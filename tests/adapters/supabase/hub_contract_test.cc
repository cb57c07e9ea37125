// The contract of Hub over a real PostgreSQL with Supabase's roles: directly, and through both kinds of pooler.
#include "tests/contract/hub_contract.h"

#include <memory>
#include <string>

#include "adapters/supabase/supabase_hub.h"
#include "tests/adapters/supabase/supabase_server.h"

namespace assay::test {
namespace {

class SupabaseUnderTest : public HubUnderTest {
 public:
  SupabaseUnderTest(SupabaseServer* supabase, PgBouncer* pooler) : supabase_(supabase), pooler_(pooler) {}

  std::unique_ptr<Hub> Connect(uint32_t branch_number) override {
    const int number = static_cast<int>(branch_number);
    const std::string url =
        pooler_ == nullptr ? supabase_->BranchUrl(number) : pooler_->Url("postgres", SupabaseServer::Role(number));
    return SupabaseHub::Create({.url = url}).value();
  }
  void Advance(absl::Duration time) override {
    const std::string by = absl::StrCat("interval '", absl::ToInt64Seconds(time), " s'");
    MustSql(supabase_->SuperUrl(),
            absl::StrCat("UPDATE assay_hub.presence SET last_seen = last_seen - ", by, ", changed_at = changed_at - ",
                         by, "; UPDATE assay_hub.branch SET changed_at = changed_at - ", by));
  }

 private:
  SupabaseServer* supabase_;
  PgBouncer* pooler_;
};

// `mode` empty: direct.
std::unique_ptr<HubUnderTest> Make(const std::string& mode) {
  SupabaseServer* supabase = SharedSupabase();
  if (supabase == nullptr) return nullptr;
  PgBouncer* pooler = nullptr;
  if (!mode.empty()) {
    static std::map<std::string, std::unique_ptr<PgBouncer>>* poolers =
        new std::map<std::string, std::unique_ptr<PgBouncer>>;
    std::unique_ptr<PgBouncer>& made = (*poolers)[mode];
    if (made == nullptr) {
      absl::StatusOr<std::unique_ptr<PgBouncer>> created = supabase->Pooler(mode);
      if (MaySkipWithoutPostgres(created.status())) return nullptr;
      made = std::move(created).value();
    }
    pooler = made.get();
  }
  if (absl::Status status = supabase->ResetHub(); !status.ok()) {
    ADD_FAILURE() << status;
    return nullptr;
  }
  return std::make_unique<SupabaseUnderTest>(supabase, pooler);
}

INSTANTIATE_TEST_SUITE_P(Supabase, HubContract,
                         testing::Values(HubBody{"Direct", [] { return Make(""); }},
                                         HubBody{"SessionPooler", [] { return Make("session"); }},
                                         HubBody{"TransactionPooler", [] { return Make("transaction"); }}),
                         HubBodyName);

}  // namespace
}  // namespace assay::test
