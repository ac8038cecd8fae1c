# Answers for tests/analysis/test_designs_crossover.py and test_designs_dose_response.py.
# pbkrtest does not know row weights, so that of the weighted fit only the estimates are kept.
# Rscript designs.R > designs.json
suppressPackageStartupMessages({library(lme4); library(lmerTest); library(jsonlite)})

# Crossover: half of the two-sample t tests of Hills and Armitage (1979).
differences <- c(1.2, -0.4, 2.1, 0.9, 1.6, 3.3, 2.2, 0.7, 2.9)
first <- differences[1:5]
second <- differences[6:9]
effect <- t.test(first, -second, var.equal = TRUE)
period <- t.test(second, first, var.equal = TRUE)
half <- function(t) list(estimate = unname(diff(rev(t$estimate))) / 2, ci = as.numeric(t$conf.int) / 2)

# Dose-response: saline and three doses in eight animals, order in turn, one value missing.
set.seed(20260302)
n <- 8
doses <- c(0, 12.6, 42.1, 126.2)
rows <- do.call(rbind, lapply(seq_len(n), function(i) {
  shift <- (i - 1) %% 4
  given <- doses[(seq_len(4) - 1 + shift) %% 4 + 1]
  data.frame(animal = paste0("m", i), order = 1:4, dose = given)
}))
effect_of <- rnorm(n, 0, 0.5)
rows$estimate <- round(0.2 + effect_of[as.integer(factor(rows$animal))] +
  ifelse(rows$dose > 0, -1 - 0.4 * log2(pmax(rows$dose, 1) / 40), 0) + 0.1 * rows$order + rnorm(nrow(rows), 0, 0.3), 6)
rows$se <- round(runif(nrow(rows), 0.2, 0.5), 6)
rows <- rows[-7, ]
given <- rows$dose > 0
centre <- mean(log2(rows$dose[given]))
model <- transform(rows, present = as.numeric(given), log2_dose = ifelse(given, log2(pmax(dose, 1e-9)) - centre, 0),
                   order = order - mean(order), w = 1 / se^2)
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12))
fixed <- function(fit) {
  found <- coef(summary(fit, ddf = "Kenward-Roger"))
  list(term = rownames(found), estimate = as.numeric(found[, 1]), se = as.numeric(found[, 2]), df = as.numeric(found[, 3]))
}
plain <- lmer(estimate ~ present + log2_dose + order + (1 | animal), model, control = control)
weighted <- lmer(estimate ~ present + log2_dose + order + (1 | animal), model, weights = w, control = control)
cat(toJSON(list(
  versions = list(R = R.version.string, lme4 = as.character(packageVersion("lme4")),
                  lmerTest = as.character(packageVersion("lmerTest"))),
  crossover = list(differences = differences, n_first = 5, effect = half(effect), period = half(period)),
  dose = list(rows = rows, centre = 2^centre, plain = fixed(plain), weighted = list(estimate = as.numeric(fixef(weighted))))
), digits = 15, auto_unbox = TRUE, pretty = TRUE))
