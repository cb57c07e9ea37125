#include <memory>

#include "tests/contract/hub_contract.h"
#include "tests/simulation/random.h"
#include "tests/simulation/sim_hub.h"

namespace assay::test {
namespace {

class FixedClock : public Clock {
 public:
  absl::Time Now() override { return now; }
  absl::Time now = absl::FromUnixSeconds(1'700'000'000);
};

class SimulatedHub : public HubUnderTest {
 public:
  SimulatedHub() : random_(1), hub_(&random_, &clock_, /*recut=*/false) {
    for (uint32_t branch : {1, 2, 3}) hub_.Enrol(branch, absl::StrCat("branch ", branch));
    hub_.Deny(3, "public.salaries");
  }
  std::unique_ptr<Hub> Connect(uint32_t branch_number) override { return hub_.Connect(branch_number); }
  void Advance(absl::Duration time) override { clock_.now += time; }

 private:
  SeededRandom random_;
  FixedClock clock_;
  SimHub hub_;
};

}  // namespace

INSTANTIATE_TEST_SUITE_P(Simulated, HubContract,
                         testing::Values(HubBody{"simulated", [] { return std::make_unique<SimulatedHub>(); }}),
                         HubBodyName);

}  // namespace assay::test
