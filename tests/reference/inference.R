# Regenerates inference.json: tests of fixed effects by pbkrtest, lmerTest and emmeans. Run in this folder:
# Rscript inference.R
# The sets "crossover" and "cohort" are simulated here; Dyestuff2 is distributed with lme4.
suppressMessages({library(lme4); library(lmerTest); library(pbkrtest); library(emmeans); library(mvtnorm)
  library(jsonlite)})
emm_options(cov.keep = character(0), opt.digits = FALSE)
exact <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 0.02, rhoend = 1e-10, maxfun = 1e5),
                     check.conv.singular = "ignore")
fitted_by <- function(formula, data, reml = TRUE) {
  first <- lmerTest::lmer(as.formula(formula), data, REML = reml, control = exact)
  lmerTest::lmer(as.formula(formula), data, REML = reml, control = exact, start = getME(first, "theta"))
}

# Crossover: 7 animals, each with 2 to 5 sessions of one of three drugs, neurons seen in some of 3 epochs.
set.seed(20261)
animals <- 7
session <- animal <- drug <- character(0)
for (a in seq_len(animals)) {
  order <- sample(c("saline", "low", "high"))
  for (s in seq_len(sample(2:5, 1))) {
    animal <- c(animal, paste0("a", a)); session <- c(session, paste0("a", a, "s", s))
    drug <- c(drug, order[(s - 1) %% 3 + 1])
  }
}
rows <- list()
for (s in seq_along(session)) for (n in seq_len(sample(3:6, 1))) {
  depth <- round(runif(1, 100, 400))
  for (e in c("base", "early", "late")[sort(sample(3, sample(1:3, 1)))]) rows[[length(rows) + 1]] <-
    data.frame(animal = animal[s], session = session[s], neuron = paste0(session[s], "n", n),
               drug = drug[s], epoch = e, depth = depth / 100)
}
crossover <- do.call(rbind, rows)
effect <- function(name, sd) { keys <- unique(crossover[[name]]); setNames(rnorm(length(keys), 0, sd), keys)[crossover[[name]]] }
crossover$sex <- ifelse(crossover$animal %in% c("a1", "a4", "a6"), "f", "m")
crossover$y <- round(1 + 0.4 * (crossover$drug == "high") * (crossover$epoch == "late") + 0.2 * crossover$depth +
  effect("animal", 0.5) + effect("session", 0.4) + effect("neuron", 0.6) + rnorm(nrow(crossover), 0, 0.7), 3)
crossover$drug <- factor(crossover$drug, levels = c("saline", "low", "high"))

# Cohort: a numeric dose with its square, an arm between animals, unequal animals.
set.seed(20262)
cohort <- do.call(rbind, lapply(1:9, function(a) data.frame(animal = paste0("b", a),
  arm = c("control", "opto", "rescue")[a %% 3 + 1], dose = round(runif(sample(5:12, 1), 0, 4), 2))))
cohort$y <- round(2 + 0.3 * cohort$dose - 0.1 * cohort$dose^2 + 0.5 * (cohort$arm == "opto") * cohort$dose +
  rnorm(9, 0, 0.8)[as.integer(sub("b", "", cohort$animal))] + rnorm(nrow(cohort), 0, 0.6), 3)

# Scarce: 5 animals, too few for the mean of a joint F to exist.
set.seed(20279)
scarce <- data.frame(animal = rep(paste0("c", 1:5), c(9, 6, 4, 8, 5)))
scarce$arm <- ifelse(scarce$animal %in% c("c1", "c2"), "opto", "control")
scarce$x <- round(rnorm(nrow(scarce)), 2)
code <- as.integer(sub("c", "", scarce$animal))
scarce$y <- round(rnorm(5, 0, 1)[code] + rnorm(5, 0, 1)[code] * scarce$x + rnorm(nrow(scarce)), 3)

plain_frame <- function(x) {
  x <- as.data.frame(x); for (n in names(x)) if (is.factor(x[[n]])) x[[n]] <- as.character(x[[n]]); x
}
anova_of <- function(model, type, ddf) {
  x <- as.data.frame(anova(model, type = type, ddf = ddf))
  data.frame(term = rownames(x), sum_sq = x[["Sum Sq"]], mean_sq = x[["Mean Sq"]], num_df = x$NumDF,
             den_df = x$DenDF, f = x[["F value"]], p = x[["Pr(>F)"]])
}
answers <- function(formula, data, reml = TRUE, types = c("I", "II", "III")) {
  model <- fitted_by(formula, data, reml)
  reml_fit <- if (reml) model else fitted_by(formula, data)
  L <- diag(length(fixef(model)))
  kr <- lapply(seq_len(nrow(L)), function(i) KRmodcomp(reml_fit, L[i, , drop = FALSE])$stats)
  adjusted <- as.matrix(vcovAdj(reml_fit))
  out <- list(formula = formula, method = if (reml) "reml" else "ml", beta = as.list(fixef(model)),
    vcov = as.matrix(vcov(model)), criterion = if (reml) REMLcrit(model) else deviance(model, REML = FALSE),
    reml_beta = as.list(fixef(reml_fit)), kr_vcov = adjusted, kr_df = sapply(kr, `[[`, "ddf"),
    satterthwaite_df = as.data.frame(coef(summary(model)))$df)
  if (length(fixef(model)) > 2) {
    joint <- L[-1, , drop = FALSE]
    stats <- KRmodcomp(reml_fit, joint)$stats
    out$kr_joint <- stats[c("ndf", "ddf", "Fstat", "p.value", "F.scaling")]
  }
  if (length(types) && reml) out$anova <- lapply(setNames(types, types), function(type) list(
    `kenward-roger` = anova_of(model, type, "Kenward-Roger"), satterthwaite = anova_of(model, type, "Satterthwaite")))
  if (length(types) && !reml) out$anova <- lapply(setNames(types, types), function(type) list(
    satterthwaite = anova_of(model, type, "Satterthwaite")))
  out
}
both <- function(f) lapply(c(`kenward-roger` = "kenward-roger", satterthwaite = "satterthwaite"), function(mode) {
  emm_options(lmer.df = mode); f(mode)
})
table_of <- function(x, ...) plain_frame(summary(x, infer = c(TRUE, TRUE), ...))

main <- fitted_by("y ~ drug * epoch + sex + depth + (1 | animal) + (1 | session) + (1 | neuron)", crossover)
dose <- fitted_by("y ~ arm * dose + I(dose^2) + (1 | animal)", cohort)
means <- both(function(mode) {
  by_epoch <- emmeans(main, ~ drug | epoch)
  drug <- emmeans(main, "drug")
  cells <- emmeans(main, ~ drug * epoch)
  simple <- function(x, method, adjust, ...) table_of(contrast(x, method, adjust = adjust, ...))
  equivalence <- summary(contrast(drug, "pairwise", adjust = "none"), delta = 0.8, side = "equivalence")
  list(by_epoch = table_of(by_epoch), drug = table_of(drug),
    sex_at_depth = table_of(emmeans(main, "sex", at = list(depth = 3.5, epoch = c("base", "late")))),
    depths = table_of(emmeans(main, "depth", at = list(depth = c(1, 2, 4)))),
    proportional = table_of(emmeans(main, "drug", weights = "proportional")),
    outer = table_of(emmeans(main, "drug", weights = "outer")),
    pairwise_tukey = simple(by_epoch, "pairwise", "tukey"),
    pairwise = lapply(c(none = "none", holm = "holm", bonferroni = "bonferroni", sidak = "sidak",
      scheffe = "scheffe", fdr = "fdr"), function(adjust) simple(drug, "pairwise", adjust)),
    cells_tukey = simple(cells, "pairwise", "tukey"),
    treatment = simple(drug, "trt.vs.ctrl", "none"), eff = simple(drug, "eff", "none"),
    consec = simple(drug, "consec", "none"), poly = simple(drug, "poly", "none"),
    poly_cells = simple(cells, "poly", "none", max.degree = 4),
    interaction = table_of(contrast(cells, interaction = c("trt.vs.ctrl", "consec")), adjust = "none"),
    adjusted_means = table_of(drug, adjust = "bonferroni"),
    equivalence = plain_frame(equivalence))
})
slopes <- both(function(mode) list(
  dose = table_of(emtrends(dose, "arm", var = "dose", delta.var = 1e-5)),
  dose_at_3 = table_of(emtrends(dose, "arm", var = "dose", delta.var = 1e-5, at = list(dose = 3))),
  pairs = table_of(contrast(emtrends(dose, "arm", var = "dose", delta.var = 1e-5), "pairwise", adjust = "tukey")),
  means = table_of(emmeans(dose, "arm")), means_at_3 = table_of(emmeans(dose, "arm", at = list(dose = 3)))))

# Probability that the largest of |t| is beyond the value; independent of any model.
beyond <- function(t, corr, df) 1 - pmvt(lower = rep(-t, nrow(corr)), upper = rep(t, nrow(corr)), df = df,
  corr = corr, algorithm = GenzBretz(maxpts = 1e7, abseps = 1e-8, releps = 0))[1]
structures <- list(dunnett = matrix(0.5, 4, 4) + diag(0.5, 4),
  pairwise = cov2cor(tcrossprod(rbind(c(1, -1, 0), c(1, 0, -1), c(0, 1, -1)) %*% diag(sqrt(c(1, 2, 0.7))))),
  consecutive = outer(1:5, 1:5, function(i, j) ifelse(i == j, 1, ifelse(abs(i - j) == 1, -0.5, 0))))
set.seed(1)
largest <- lapply(structures, function(corr) list(correlation = corr, cases = lapply(
  list(c(1.2, 7), c(2.5, 7), c(4, 7), c(2.1, 40), c(3.3, 40), c(2.6, 0)), function(case)
    list(t = case[1], df = case[2], p = beyond(case[1], corr, case[2])))))

# The far tail, on the scale of the natural logarithm where a double has no value left.
tails <- list(t = lapply(list(c(8, 3), c(30, 12), c(37, 1e6), c(1e5, 2.5), c(1e150, 1), c(200, 40)), function(x)
    list(t = x[1], df = x[2], log_p = log(2) + pt(-x[1], x[2], log.p = TRUE))),
  f = lapply(list(c(50, 3, 20), c(400, 4, 150), c(1e6, 2, 1), c(30, 5, Inf), c(0.3, 3, 7)), function(x)
    list(f = x[1], num_df = x[2], den_df = if (is.infinite(x[3])) 0 else x[3],
         log_p = pf(x[1], x[2], x[3], lower.tail = FALSE, log.p = TRUE))))

ratio <- function(a, b, data, reml = FALSE) {
  models <- list(fitted_by(a, data, reml), fitted_by(b, data, reml))
  test <- as.data.frame(anova(models[[1]], models[[2]], refit = FALSE))
  list(small = a, large = b, method = if (reml) "reml" else "ml", statistic = test$Chisq[2], df = test$Df[2],
       p = test[["Pr(>Chisq)"]][2])
}
value <- list(
  info = list(R = R.version.string, lme4 = as.character(packageVersion("lme4")),
    lmerTest = as.character(packageVersion("lmerTest")), pbkrtest = as.character(packageVersion("pbkrtest")),
    emmeans = as.character(packageVersion("emmeans")), mvtnorm = as.character(packageVersion("mvtnorm"))),
  data = list(crossover = as.list(plain_frame(crossover)), cohort = as.list(plain_frame(cohort)),
    scarce = as.list(plain_frame(scarce)),
    dyestuff2 = list(batch = as.character(Dyestuff2$Batch), y = Dyestuff2$Yield)),
  models = list(
    list(data = "crossover", answers = answers(
      "y ~ drug * epoch + sex + depth + (1 | animal) + (1 | session) + (1 | neuron)", crossover)),
    list(data = "crossover", answers = answers(
      "y ~ drug * epoch + sex + depth + (1 | animal) + (1 | session) + (1 | neuron)", crossover, FALSE)),
    list(data = "crossover", answers = answers("y ~ sex * epoch + drug:depth + (epoch | animal)", crossover)),
    list(data = "crossover", answers = answers("y ~ sex * drug * epoch + (1 | session)", crossover)),
    list(data = "cohort", answers = answers("y ~ arm * dose + I(dose^2) + (1 | animal)", cohort)),
    list(data = "cohort", answers = answers("y ~ arm + dose + (dose | animal)", cohort)),
    list(data = "scarce", answers = answers("y ~ arm * x + (x | animal)", scarce)),
    list(data = "dyestuff2", answers = answers("y ~ 1 + (1 | batch)",
      data.frame(batch = Dyestuff2$Batch, y = Dyestuff2$Yield), types = NULL))),
  means = means, slopes = slopes, largest = largest, tails = tails,
  likelihood_ratio = list(
    ratio("y ~ drug + (1 | animal)", "y ~ drug * epoch + (1 | animal)", crossover),
    ratio("y ~ drug + (1 | animal)", "y ~ drug + (1 | animal) + (1 | session)", crossover),
    ratio("y ~ drug + (1 | animal)", "y ~ drug + (1 | animal) + (1 | session)", crossover, TRUE),
    ratio("y ~ dose + (1 | animal)", "y ~ dose + (dose | animal)", cohort)))
writeLines(toJSON(value, digits = I(15), auto_unbox = TRUE, na = "null", null = "null"), "inference.json")
