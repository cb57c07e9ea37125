// The database contract, held by PostgresDatabase and PostgresCapture.
#include "tests/adapters/postgres/real_database.h"

namespace assay::test {
namespace {

PostgresServer* server = nullptr;

class ServerForAll : public testing::Environment {
 public:
  void SetUp() override {
    auto made = PostgresServer::Create(RealDatabaseOptions());
    if (MaySkipWithoutPostgres(made.status())) return;
    ASSERT_TRUE(made.ok()) << made.status();
    server_ = *std::move(made);
    server = server_.get();
  }
  void TearDown() override { server_.reset(); }

 private:
  std::unique_ptr<PostgresServer> server_;
};
const auto* const kEnvironment = testing::AddGlobalTestEnvironment(new ServerForAll);

std::unique_ptr<DatabaseUnderTest> MakeReal() { return server == nullptr ? nullptr : MakeRealDatabase(*server); }

INSTANTIATE_TEST_SUITE_P(Real, DatabaseContract, testing::Values(DatabaseBody{"postgres", MakeReal}), DatabaseBodyName);

}  // namespace
}  // namespace assay::test
