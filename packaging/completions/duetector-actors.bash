# Completes commands, options, tracers, columns and tables by asking the program itself.
source <(COMPLETE=bash duetector-actors)
