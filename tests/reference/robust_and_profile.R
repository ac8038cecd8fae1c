# Regenerates robust_and_profile.json: cluster-robust covariances by clubSandwich, likelihood profiles by
# lme4, and the reference distributions of a parametric bootstrap by pbkrtest.
# Run in this folder: Rscript robust_and_profile.R
suppressMessages({library(lme4); library(clubSandwich); library(pbkrtest); library(jsonlite)})
options(digits = 15)
exact <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5),
                     check.conv.singular = "ignore")
models <- fromJSON("mixed_models.json", simplifyDataFrame = FALSE)$models
cases <- as.data.frame(fromJSON("mixed_cases.json")$data, stringsAsFactors = TRUE)
frame_of <- function(name) {
  data <- as.data.frame(lapply(models[[name]]$data, unlist), stringsAsFactors = TRUE)
  for (column in intersect(c("Subject", "batch", "sample", "animal", "session", "neuron", "plate"), names(data)))
    data[[column]] <- factor(data[[column]])
  data
}
sleep <- frame_of("sleepstudy")
sets <- list(
  sleepstudy = list(data = sleep, formula = "Reaction ~ Days + (Days | Subject)"),
  # Unbalanced: rows 1, 6, 11, ... and all late days of three subjects are missing.
  sleep_unbalanced = list(
    data = sleep[!(seq_len(nrow(sleep)) %% 5 == 1 | (as.integer(sleep$Subject) < 4 & sleep$Days > 4)), ],
    formula = "Reaction ~ Days + (1 | Subject)"),
  Pastes = list(data = frame_of("Pastes"), formula = "strength ~ 1 + (1 | batch) + (1 | sample)"),
  sim_between = list(data = frame_of("sim_between"), formula = models$sim_between$reml$formula),
  nested_unbalanced = list(data = transform(cases, group = factor(paste(lab, animal))),
                           formula = "y ~ cond + x + (1 | group)"))

robust <- lapply(sets, function(set) {
  model <- lmer(as.formula(set$formula), set$data, control = exact)
  theta <- getME(model, "theta")
  found <- list(formula = set$formula, data = as.list(set$data[all.vars(as.formula(set$formula))]),
                theta = unname(theta), theta_names = names(theta), beta = as.list(fixef(model)))
  for (type in c("CR0", "CR1", "CR1S", "CR2")) {
    covariance <- vcovCR(model, type = type)
    tests <- coef_test(model, vcov = covariance, test = "Satterthwaite")
    p <- length(fixef(model))
    own <- list(vcov = unname(as.matrix(covariance)), df = unname(tests$df_Satt), p = unname(tests$p_Satt))
    if (p > 1) {
      joint <- Wald_test(model, constraints = constrain_zero(2:p), vcov = covariance, test = "HTZ")
      own$f <- joint$Fstat; own$num_df <- joint$df_num; own$den_df <- joint$df_denom; own$f_p <- joint$p_val
    }
    found[[type]] <- own
  }
  found
})

# A fine grid, since lme4's interval is read from a spline through the grid.
profiles_of <- function(formula, data) {
  model <- lmer(as.formula(formula), data, REML = FALSE, control = exact)
  fine <- suppressWarnings(profile(model, delta.cutoff = 1 / 40, maxpts = 400, devtol = 1e-8))
  limits <- suppressWarnings(confint(fine, level = 0.95))
  list(formula = formula, data = as.list(data[all.vars(as.formula(formula))]),
       terms = rownames(limits), low = unname(limits[, 1]), high = unname(limits[, 2]))
}
data(Dyestuff2)
profiles <- list(
  sleepstudy = profiles_of("Reaction ~ Days + (Days | Subject)", sleep),
  sleep_uncorrelated = profiles_of("Reaction ~ Days + (Days || Subject)", sleep),
  Pastes = profiles_of("strength ~ 1 + (1 | batch) + (1 | sample)", frame_of("Pastes")),
  Penicillin = profiles_of("diameter ~ 1 + (1 | plate) + (1 | sample)", frame_of("Penicillin")),
  Dyestuff2 = profiles_of("Yield ~ 1 + (1 | Batch)", Dyestuff2))

set.seed(20)
large <- lmer(Reaction ~ Days + (Days | Subject), sleep, REML = FALSE)
small <- update(large, . ~ . - Days)
reference <- PBmodcomp(large, small, nsim = 200)
tests <- summary(reference)$test
bootstrap <- list(lr = unname(reference$LRTstat[1]), df = unname(reference$LRTstat[2]),
                  draws = as.numeric(reference$ref), tests = c(list(name = rownames(tests)), as.list(tests)))

info <- lapply(c(lme4 = "lme4", clubSandwich = "clubSandwich", pbkrtest = "pbkrtest"),
               function(name) as.character(packageVersion(name)))
writeLines(toJSON(list(info = c(list(R = R.version.string), info), robust = robust, profiles = profiles,
                       bootstrap = bootstrap),
                  digits = I(15), auto_unbox = TRUE, na = "null", null = "null", factor = "string"),
           "robust_and_profile.json")
