/* Prints, from an interpreter's own headers, the figures that injection/stack knows by heart.
   Compiled by ../python_layout_test.py against each interpreter that has headers here. */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#if PY_VERSION_HEX < 0x03090000
#include <frameobject.h>
#include <internal/pycore_pystate.h>
#else
#include <internal/pycore_runtime.h>
#if PY_VERSION_HEX < 0x030b0000
#include <frameobject.h>
#else
#include <internal/pycore_frame.h>
#endif
#if PY_VERSION_HEX >= 0x030e0000
#include <internal/pycore_debug_offsets.h>
#include <internal/pycore_interpframe_structs.h>
#include <internal/pycore_runtime_structs.h>
#endif
#endif

#define FIGURE(name, value) printf("%s %ld\n", name, (long)(value))

/* Where a bit field lies in the 32 bits of a string's state, as a mask. */
#define STATE_MASK(name, field)                       \
  do {                                                \
    unsigned mask = 0;                                \
    PyASCIIObject object;                             \
    memset(&object, 0, sizeof object);                \
    object.state.field = (unsigned)-1;                \
    memcpy(&mask, (char*)&object.state, sizeof mask); \
    FIGURE(name, mask);                               \
  } while (0)

int main(void) {
  STATE_MASK("text_kind_mask", kind);
  STATE_MASK("text_compact_mask", compact);
  STATE_MASK("text_ascii_mask", ascii);
#if PY_VERSION_HEX >= 0x030b0000
  FIGURE("owner_generator", FRAME_OWNED_BY_GENERATOR);
#endif
#if PY_VERSION_HEX >= 0x030d0000
  /* What the interpreter does not tell in _Py_DebugOffsets … */
  FIGURE("text_wide_beyond", sizeof(PyCompactUnicodeObject) - sizeof(PyASCIIObject));
  FIGURE("code_first_traceable_before",
         offsetof(PyCodeObject, co_code_adaptive) - offsetof(PyCodeObject, _co_firsttraceable));
#if PY_VERSION_HEX >= 0x030e0000
  FIGURE("owner_c_stack", FRAME_OWNED_BY_INTERPRETER);
#else
  FIGURE("owner_c_stack", FRAME_OWNED_BY_CSTACK);
#endif
  /* … and where in it the rest stands. */
#define TOLD(group, field) \
  FIGURE("told_" #group "_" #field, offsetof(_Py_DebugOffsets, group.field))
  FIGURE("told_free_threaded", offsetof(_Py_DebugOffsets, free_threaded));
  TOLD(runtime_state, finalizing);
  TOLD(runtime_state, interpreters_head);
  TOLD(thread_state, current_frame);
  TOLD(thread_state, thread_id);
  TOLD(interpreter_frame, previous);
  TOLD(interpreter_frame, executable);
  TOLD(interpreter_frame, instr_ptr);
  TOLD(interpreter_frame, owner);
  TOLD(code_object, filename);
  TOLD(code_object, name);
  TOLD(code_object, qualname);
  TOLD(code_object, linetable);
  TOLD(code_object, firstlineno);
  TOLD(code_object, co_code_adaptive);
  TOLD(pyobject, ob_type);
  TOLD(bytes_object, ob_size);
  TOLD(bytes_object, ob_sval);
  TOLD(unicode_object, state);
  TOLD(unicode_object, length);
  TOLD(unicode_object, asciiobject_size);
#if PY_VERSION_HEX >= 0x030e0000
  TOLD(interpreter_frame, tlbc_index);
  TOLD(code_object, co_tlbc);
#endif
#else
  FIGURE("runtime_interpreters", offsetof(_PyRuntimeState, interpreters.head));
#if PY_VERSION_HEX < 0x03090000
  FIGURE("runtime_finalizing", offsetof(_PyRuntimeState, finalizing));
#else
  FIGURE("runtime_finalizing", offsetof(_PyRuntimeState, _finalizing));
#endif
  FIGURE("thread_id", offsetof(PyThreadState, thread_id));
#if PY_VERSION_HEX < 0x030b0000
  FIGURE("thread_frame", offsetof(PyThreadState, frame));
#if PY_VERSION_HEX >= 0x030a0000
  FIGURE("thread_entry", offsetof(PyThreadState, cframe));
  FIGURE("entry_previous", offsetof(CFrame, previous));
#endif
  FIGURE("frame_previous", offsetof(PyFrameObject, f_back));
  FIGURE("frame_code", offsetof(PyFrameObject, f_code));
  FIGURE("frame_instruction", offsetof(PyFrameObject, f_lasti));
#else
  FIGURE("thread_entry", offsetof(PyThreadState, cframe));
  FIGURE("entry_previous", offsetof(_PyCFrame, previous));
  FIGURE("entry_frame", offsetof(_PyCFrame, current_frame));
  FIGURE("frame_previous", offsetof(_PyInterpreterFrame, previous));
  FIGURE("frame_code", offsetof(_PyInterpreterFrame, f_code));
  FIGURE("frame_instruction", offsetof(_PyInterpreterFrame, prev_instr));
  FIGURE("frame_owner", offsetof(_PyInterpreterFrame, owner));
#if PY_VERSION_HEX < 0x030c0000
  FIGURE("frame_is_entry", offsetof(_PyInterpreterFrame, is_entry));
#else
  FIGURE("owner_c_stack", FRAME_OWNED_BY_CSTACK);
#endif
  FIGURE("code_qualified_name", offsetof(PyCodeObject, co_qualname));
  FIGURE("code_instructions", offsetof(PyCodeObject, co_code_adaptive));
  FIGURE("code_first_traceable", offsetof(PyCodeObject, _co_firsttraceable));
#endif
  FIGURE("code_file", offsetof(PyCodeObject, co_filename));
  FIGURE("code_name", offsetof(PyCodeObject, co_name));
  FIGURE("code_first_line", offsetof(PyCodeObject, co_firstlineno));
#if PY_VERSION_HEX < 0x030a0000
  FIGURE("code_lines", offsetof(PyCodeObject, co_lnotab));
#else
  FIGURE("code_lines", offsetof(PyCodeObject, co_linetable));
#endif
  FIGURE("object_type", offsetof(PyObject, ob_type));
  FIGURE("text_state", offsetof(PyASCIIObject, state));
  FIGURE("text_length", offsetof(PyASCIIObject, length));
  FIGURE("text_narrow", sizeof(PyASCIIObject));
  FIGURE("text_wide", sizeof(PyCompactUnicodeObject));
  FIGURE("bytes_size", offsetof(PyVarObject, ob_size));
  FIGURE("bytes_data", offsetof(PyBytesObject, ob_sval));
#endif
  return 0;
}
