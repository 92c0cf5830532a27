# Completes commands, options, tracers, columns and tables by asking the program itself.
COMPLETE=fish duetector-actors | source
