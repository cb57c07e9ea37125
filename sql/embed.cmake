# embed_sql(TARGET FILE NAME): compiles sql/FILE into TARGET as `inline constexpr char NAME[]`, declared in "sql/FILE.h"
# (in the build tree), so that a binary installs what it was built with.
function(embed_sql TARGET FILE NAME)
  set(INPUT ${CMAKE_SOURCE_DIR}/sql/${FILE})
  set(OUTPUT ${CMAKE_BINARY_DIR}/sql/${FILE}.h)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${INPUT})
  file(READ ${INPUT} TEXT)
  file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT
       "// Made by sql/embed.cmake from sql/@FILE@.\n#pragma once\n\nnamespace assay {\n\ninline constexpr char @NAME@[] = R\"assay_sql(@TEXT@)assay_sql\";\n\n}  // namespace assay\n")
  target_sources(${TARGET} PRIVATE ${OUTPUT})
endfunction()
