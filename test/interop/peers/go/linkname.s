// Without a file in assembly, the compiler wants a body for each function.
