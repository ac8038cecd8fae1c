# Regenerates glmm.json with lme4 and geepack. Run in this folder: Rscript glmm.R
# cbpp is published with lme4; the other sets are simulated here.
suppressMessages({library(lme4); library(geepack); library(jsonlite)})
exact <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 0.1, rhoend = 1e-9, maxfun = 1e5),
                      tolPwrss = 1e-13, check.conv.singular = "ignore", check.conv.grad = "ignore",
                      check.conv.hess = "ignore")

answers <- function(formula, data, nodes = 1) {
  model <- suppressWarnings(glmer(as.formula(formula), data, binomial, nAGQ = nodes, control = exact))
  for (optimizer in c("nlminbwrap", "Nelder_Mead", "bobyqa")) {  # one search can stop early in a flat valley
    control <- exact
    control$optimizer <- rep(optimizer, 2)
    if (optimizer != "bobyqa") control$optCtrl <- list()
    again <- suppressWarnings(glmer(as.formula(formula), data, binomial, nAGQ = nodes, control = control,
                                    start = list(theta = getME(model, "theta"), fixef = fixef(model))))
    if (logLik(again) >= logLik(model)) model <- again
  }
  list(formula = formula, nodes = nodes, beta = as.list(fixef(model)), theta = I(unname(getME(model, "theta"))),
       log_likelihood = as.numeric(logLik(model)), varcorr = as.data.frame(VarCorr(model)),
       vcov = unname(as.matrix(vcov(model, use.hessian = TRUE))),
       vcov_given_theta = unname(as.matrix(vcov(model, use.hessian = FALSE))), singular = isSingular(model),
       modes = lapply(ranef(model), function(g) unname(as.matrix(g))))
}

set.seed(20)
counts <- function(d, eta) {
  d$n <- pmax(10, rnbinom(nrow(d), mu = 50, size = 4))
  d$yes <- rbinom(nrow(d), d$n, plogis(eta))
  d
}
between <- expand.grid(session = 1:2, animal = 1:12)
between$session <- paste0("s", between$animal, "_", between$session)
between$drug <- ifelse(between$animal > 6, "ketamine", "saline")
between$animal <- paste0("a", between$animal)
between <- counts(between, -1.5 + 0.8 * (between$drug == "saline") + rnorm(12, 0, 0.6)[factor(between$animal)] +
                    rnorm(24, 0, 0.3))

crossover <- expand.grid(epoch = c("base", "drug"), session = 1:4, animal = 1:10)
crossover$arm <- ifelse(crossover$session %% 2 == 0, "ketamine", "saline")
crossover$order <- crossover$session - 2.5
slope <- rnorm(10, 0.5, 0.5)[crossover$animal]
start <- rnorm(10, -0.8, 0.7)[crossover$animal]
crossover$session <- paste0("a", crossover$animal, "_", crossover$session)
crossover <- counts(crossover, start + slope * (crossover$epoch == "drug") * (crossover$arm == "ketamine") +
                      rnorm(40, 0, 0.4)[factor(crossover$session)])
crossover$animal <- paste0("a", crossover$animal)

labs <- expand.grid(rep = 1:2, session = 1:2, animal = 1:4, lab = 1:6)
labs$x <- round(rnorm(nrow(labs)), 3)
labs$animal <- paste0(labs$lab, "_", labs$animal); labs$session <- paste0(labs$animal, "_", labs$session)
labs <- counts(labs, -0.5 + 0.3 * labs$x + rnorm(6, 0, 0.6)[labs$lab] + rnorm(24, 0, 0.5)[factor(labs$animal)] +
                 rnorm(48, 0, 0.5)[factor(labs$session)])
labs$lab <- paste0("lab", labs$lab)

crossed <- expand.grid(stimulus = paste0("s", 1:8), animal = paste0("a", 1:9))
crossed$x <- round(rnorm(72), 3)
crossed <- counts(crossed, -1 + 0.4 * crossed$x + rnorm(8, 0, 0.7)[crossed$stimulus] + rnorm(9, 0, 0.5)[crossed$animal])

singular <- expand.grid(session = 1:3, animal = 1:8)
singular$session <- paste0(singular$animal, "_", singular$session)
singular$drug <- ifelse(singular$animal > 4, 1, 0)
singular <- counts(singular, -1 + 0.5 * singular$drug + rnorm(8, 0, 0.8)[singular$animal])
singular$yes <- ave(singular$yes / singular$n, singular$animal)
singular$yes <- round(singular$yes * singular$n)

neurons <- expand.grid(neuron = 1:16, animal = 1:12)
neurons$depth <- round(rnorm(192), 3)
neurons$drug <- ifelse(neurons$animal %% 2, "ketamine", "saline")
neurons$silenced <- rbinom(192, 1, plogis(-0.3 + 0.7 * neurons$depth + rnorm(12, 0, 1.2)[neurons$animal]))

sets <- list(cbpp = lme4::cbpp, between = between, crossover = crossover, labs = labs, crossed = crossed,
             singular = singular, neurons = neurons)
models <- list(
  list("cbpp", "cbind(incidence, size - incidence) ~ period + (1 | herd)", 1),
  list("cbpp", "cbind(incidence, size - incidence) ~ period + (1 | herd)", 25),
  list("between", "cbind(yes, n - yes) ~ drug + (1 | animal) + (1 | session)", 1),
  list("between", "cbind(yes, n - yes) ~ drug + (1 | animal)", 9),
  list("crossover", "cbind(yes, n - yes) ~ arm * epoch + order + (1 + epoch | animal) + (1 | session)", 1),
  list("crossover", "cbind(yes, n - yes) ~ arm * epoch + (arm | animal) + (1 | session)", 1),
  list("crossover", "cbind(yes, n - yes) ~ arm * epoch + (0 + order | animal)", 5),
  list("labs", "cbind(yes, n - yes) ~ x + (1 | lab/animal/session)", 1),
  list("labs", "cbind(yes, n - yes) ~ x + (x || animal) + (1 | lab)", 1),
  list("crossed", "cbind(yes, n - yes) ~ x + (1 | animal) + (1 | stimulus)", 1),
  list("singular", "cbind(yes, n - yes) ~ drug + (1 | animal) + (1 | session)", 1),
  list("neurons", "silenced ~ drug + depth + (1 | animal)", 1),
  list("neurons", "silenced ~ drug + depth + (1 | animal)", 15),
  list("neurons", "silenced ~ drug + depth + (1 + depth | animal)", 1))
found <- lapply(models, function(m) c(list(data = m[[1]]), answers(m[[2]], sets[[m[[1]]]], m[[3]])))

# Estimating equations: geepack, and the small-sample covariances of Mancl and DeRouen (2001) and of Kauermann
# and Carroll (2001) from their formulas with dense matrices.
events <- expand.grid(block = 1:3, session = 1:2, animal = 1:10)
events$minutes <- round(runif(60, 4, 12), 1)
events$drug <- ifelse(events$animal > 5, "ketamine", "saline")
events$x <- round(rnorm(60), 3)
events$events <- rnbinom(60, mu = events$minutes * exp(0.3 - 0.5 * (events$drug == "saline") +
                                                         rnorm(10, 0, 0.4)[events$animal]), size = 3)
events <- events[-c(4, 17, 18, 40), ]
corrected <- function(X, y, id, mu, variance, slope, phi, alpha, power) {
  bread <- matrix(0, ncol(X), ncol(X)); blocks <- list()
  for (i in unique(id)) {
    at <- which(id == i); D <- slope[at] * X[at, , drop = FALSE]
    R <- matrix(alpha, length(at), length(at)); diag(R) <- 1
    s <- sqrt(variance[at]); V <- phi * outer(s, s) * R
    blocks[[length(blocks) + 1]] <- list(D = D, V = V, r = (y - mu)[at]); bread <- bread + t(D) %*% solve(V, D)
  }
  naive <- solve(bread); meat <- 0
  for (b in blocks) {
    H <- b$D %*% naive %*% t(b$D) %*% solve(b$V)
    e <- eigen(diag(nrow(H)) - H)
    A <- Re(e$vectors %*% diag(e$values^(-power), nrow(H)) %*% solve(e$vectors))
    u <- t(b$D) %*% solve(b$V, A %*% b$r); meat <- meat + u %*% t(u)
  }
  naive %*% meat %*% naive
}
gee_answers <- function(name, formula, family, correlation, data, id, y, trials = NULL, offset = NULL) {
  data$own_id <- id; data$own_offset <- if (is.null(offset)) 0 else offset
  data$own_trials <- if (is.null(trials)) 1 else trials
  model <- geeglm(as.formula(formula), family = family, data = data, id = own_id, offset = own_offset,
                  weights = own_trials, corstr = correlation,
                  control = geese.control(epsilon = 1e-12, maxit = 200))
  X <- model.matrix(model); mu <- fitted(model)
  variance <- model$family$variance(mu) / data$own_trials; slope <- model$family$mu.eta(model$linear.predictors)
  phi <- model$geese$gamma[[1]]; alpha <- if (correlation == "independence") 0 else model$geese$alpha[[1]]
  args <- list(X, y, id, mu, variance, slope, phi, alpha)
  list(data = name, formula = formula, family = family()$family, correlation = correlation,
       beta = as.list(coef(model)), robust = unname(model$geese$vbeta), scale = phi, alpha = alpha,
       bias_reduced = unname(do.call(corrected, c(args, 1))), kauermann_carroll = unname(do.call(corrected, c(args, 0.5))))
}
gee <- list()
for (correlation in c("independence", "exchangeable")) {
  gee[[length(gee) + 1]] <- gee_answers("events", "events ~ drug + x", poisson, correlation, events, events$animal,
                                        events$events, offset = log(events$minutes))
  gee[[length(gee) + 1]] <- gee_answers("between", "yes / n ~ drug", binomial, correlation, between, factor(between$animal,
                                        unique(between$animal)), between$yes / between$n, trials = between$n)
}
sets$events <- events
info <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")), geepack = as.character(packageVersion("geepack")))
out <- list(info = info, sets = lapply(sets, as.list), models = found, gee = gee)
writeLines(toJSON(out, digits = I(15), auto_unbox = TRUE, na = "null", null = "null"), "glmm.json")
