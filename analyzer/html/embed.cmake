# cmake -DFOLDER=… -DSCRIPTS=a.js,b.js -DOUT=page_files.cpp -P embed.cmake: the page's files as strings of
# one C++ source. Raw strings end at their delimiter only, which no file may hold.
function(read_raw out)
  set(text "")
  foreach(name ${ARGN})
    file(READ "${FOLDER}/${name}" part)
    string(FIND "${part}" ")tidemark\"" ends)
    if(NOT ends EQUAL -1)
      message(FATAL_ERROR "${name} holds )tidemark\", which ends a string in ${OUT}: write it another way")
    endif()
    string(APPEND text "${part}")
  endforeach()
  set(${out} "R\"tidemark(${text})tidemark\"" PARENT_SCOPE)
endfunction()

string(REPLACE "," ";" SCRIPTS "${SCRIPTS}")
read_raw(html page.html)
read_raw(style page.css)
read_raw(script ${SCRIPTS})
file(WRITE "${OUT}" "// Made from analyzer/html by embed.cmake.
#include \"page_files.h\"

namespace tidemark::analyzer {

const std::string_view kPageHtml = ${html};
const std::string_view kPageStyle = ${style};
const std::string_view kPageScript = ${script};

}  // namespace tidemark::analyzer
")
