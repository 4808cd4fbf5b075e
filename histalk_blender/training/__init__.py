"""Making weights: what to learn from, what to minimise, and how well it worked. Not part of the extension.

Each of these imports only what stands below it:

    experiments           the paper's ablations, reference designs, learning curves
    evaluation   loop     scores and baselines; the training loop
    pretraining  run_state    starts for the acoustic encoder; what a run keeps in its folder
    options  losses  distributed
    examples              batches, augmentation, and where targets come from
    datasets              VOCASET, BIWI and our corpus behind one interface
    corpus                speech with known phone times, by language and source
    teacher  arrays       phones -> ARKit weights; arrays from files
"""
