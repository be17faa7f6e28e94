"""Training: one loop, what each network is fed, films of drawn spelling, signs that a person adds."""
