"""What is measured over several runs: systems compared, clean-label attacks, backdoor smoothing."""
